// Secrets that come from files of their own.

package config

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
)

// MaxSecret is the size in bytes of the largest secret in a file.
const MaxSecret = 64 << 10

// ErrSkip is for Options.ReadSecret to return: the secret stays what it is, and
// that is no problem. It is for who reads a configuration for something else.
var ErrSkip = errors.New("the secret is not looked at")

// credentialsVariable names the directory in which systemd has put the files
// that LoadCredential= and its like ask for, see systemd.exec(5).
const credentialsVariable = "CREDENTIALS_DIRECTORY"

// secret is a key whose value may come from a file.
type secret struct {
	*key
	file *key // names the file; there is no such field in the section
}

// addSecrets gives each Secret of a table the key that names its file: that of
// password is password_file. A section that has a key of this name means
// something else by it, and its secret comes from no file.
func (l *loader) addSecrets(keys []*key) {
	for _, k := range keys {
		path := slices.Clone(k.path)
		path[len(path)-1] += "_file"
		name := join(path)
		if k.field.Type() != secretType || l.keys[name] != nil {
			continue
		}
		file := &key{name, path, k.table, reflect.New(pathType).Elem(), k.restart}
		l.keys[name] = file
		l.secrets = append(l.secrets, secret{k, file})
	}
}

var secretType = reflect.TypeFor[Secret]()

// readSecrets reads the files of the sections that are in force. What the
// environment says of the secret itself goes first, and the value in the
// document, to which all else has been applied, last.
func (l *loader) readSecrets(tree map[string]any) {
	for _, s := range l.secrets {
		_, fromVariable := l.variables[s.name]
		switch path := s.file.field.String(); {
		case fromVariable || !s.table.inForce():
		case path == "":
			l.readCredential(s)
		case l.isTwofold(s, tree):
			l.report(s.file.name, fmt.Sprintf("excludes the key %s, which has a value as well", s.path[len(s.path)-1]))
		default:
			if reason := l.readSecret(s, path); reason != "" {
				l.report(s.file.name, path+" "+reason)
			}
			l.files[s.name] = s.file.name
		}
	}
}

// isTwofold reports whether the document has the secret and names its file.
func (l *loader) isTwofold(s secret, tree map[string]any) bool {
	_, fromVariable := l.variables[s.file.name]
	value, _ := lookup(tree, s.path).(string)
	return !fromVariable && value != ""
}

// readCredential reads the file that systemd has for the secret, if it has one.
func (l *loader) readCredential(s secret) {
	if l.options.Prefix == "" {
		return
	}
	dir, _ := l.options.LookupEnv(credentialsVariable)
	if dir == "" {
		return
	}
	path := filepath.Join(dir, s.name)
	if _, err := os.Lstat(path); errors.Is(err, fs.ErrNotExist) {
		return
	}
	if reason := l.readSecret(s, path); reason != "" {
		l.add(path, Problem{File: "credential " + path, Key: s.name, Reason: reason})
	}
}

// readSecret sets the secret to what the file holds, without the line break at
// its end. It returns what is wrong with the file, which never tells of what it
// holds.
func (l *loader) readSecret(s secret, path string) (wrong string) {
	text, err := l.options.ReadSecret(path)
	trimmed := bytes.TrimSuffix(bytes.TrimSuffix(text, []byte("\n")), []byte("\r"))
	switch {
	case errors.Is(err, ErrSkip):
		l.skipped[s.name] = true
	case errors.Is(err, fs.ErrPermission):
		return fmt.Sprintf("can't be read by %s: %s; whoever starts or reloads the service has to be able to", whoIAm(), reason(err))
	case err != nil:
		return "can't be read: " + reason(err)
	case len(text) > MaxSecret:
		return fmt.Sprintf("is larger than %s", Size(MaxSecret))
	case len(trimmed) == 0:
		return "is empty"
	default:
		s.field.SetString(string(trimmed))
	}
	return ""
}

// ReadSecret returns what the file of a secret holds, up to a byte more than
// MaxSecret.
func ReadSecret(path string) ([]byte, error) { return read(path, MaxSecret) }

// whoIAm names the user of this process.
func whoIAm() string {
	uid := strconv.Itoa(os.Geteuid())
	if me, err := user.LookupId(uid); err == nil {
		return "user " + me.Username
	}
	return "uid " + uid
}

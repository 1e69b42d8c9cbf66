package process

// Open files that go with a request through the control socket (unix(7),
// SCM_RIGHTS).

import (
	"encoding/json"
	"errors"
	"io"
	"maps"
	"net"
	"os"
	"slices"
	"syscall"
)

// maxFiles is how many files go with a request. Linux takes 253 (unix(7)).
const maxFiles = 200

// sentRequest is a request on its way: it says what its files are, which come in
// this order.
type sentRequest struct {
	ControlRequest
	HasFile bool     `json:"file,omitempty"`
	Paths   []string `json:"files,omitempty"`
}

// send sends a request with its files, of which those beyond maxFiles are left out.
func send(conn *net.UnixConn, request ControlRequest) error {
	sent := sentRequest{ControlRequest: request, HasFile: request.File != nil}
	var numbers []int
	if sent.HasFile {
		numbers = append(numbers, int(request.File.Fd()))
	}
	for _, path := range slices.Sorted(maps.Keys(request.Files)) {
		if len(numbers) == maxFiles {
			break
		}
		sent.Paths = append(sent.Paths, path)
		numbers = append(numbers, int(request.Files[path].Fd()))
	}
	text, err := json.Marshal(sent)
	if err != nil {
		return err
	}
	var rights []byte
	if len(numbers) > 0 {
		rights = syscall.UnixRights(numbers...)
	}
	n, _, err := conn.WriteMsgUnix(text, rights, nil)
	if err == nil && n < len(text) {
		_, err = conn.Write(text[n:])
	}
	return err
}

// receive reads a request.
func receive(conn *net.UnixConn) (ControlRequest, error) {
	input := &rightsReader{conn: conn}
	defer input.close()
	var sent sentRequest
	if err := json.NewDecoder(io.LimitReader(input, maxRequest)).Decode(&sent); err != nil {
		return ControlRequest{}, err
	}
	wanted := len(sent.Paths)
	if sent.HasFile {
		wanted++
	}
	if len(input.files) != wanted {
		return ControlRequest{}, errors.New("not the files that the request names")
	}
	request, files := sent.ControlRequest, input.take()
	if sent.HasFile {
		request.File, files = files[0], files[1:]
	}
	request.Files = make(map[string]*os.File)
	for i, path := range sent.Paths {
		if request.Files[path] != nil {
			_ = files[i].Close()
			continue
		}
		request.Files[path] = files[i]
	}
	return request, nil
}

// rightsReader reads from a unix socket, and keeps the files that come with the
// bytes.
type rightsReader struct {
	conn  *net.UnixConn
	files []*os.File
}

func (r *rightsReader) Read(p []byte) (int, error) {
	rights := make([]byte, syscall.CmsgSpace(4*maxFiles)) // the kernel closes what does not fit
	n, size, _, _, err := r.conn.ReadMsgUnix(p, rights)
	if n == 0 && err == nil {
		err = io.EOF
	}
	messages, parseErr := syscall.ParseSocketControlMessage(rights[:max(size, 0)])
	if parseErr != nil {
		return n, err
	}
	for _, message := range messages {
		fds, _ := syscall.ParseUnixRights(&message)
		for _, fd := range fds {
			syscall.CloseOnExec(fd)
			r.files = append(r.files, os.NewFile(uintptr(fd), "of a request"))
		}
	}
	if len(r.files) > maxFiles {
		return n, errors.New("too many files come with a request")
	}
	return n, err
}

// take returns the files, which are the caller's then.
func (r *rightsReader) take() []*os.File {
	files := r.files
	r.files = nil
	return files
}

func (r *rightsReader) close() {
	for _, file := range r.files {
		_ = file.Close()
	}
}

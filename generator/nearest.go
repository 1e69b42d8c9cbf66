package generator

import "strings"

// Nearest is the first of the candidates with the fewest edits from the word, at
// most two and half of its letters, else the first that begins with the word or
// is its beginning, else empty.
func Nearest(word string, candidates []string) string {
	best, fewest := "", min(2, len(word)/2)+1
	for _, candidate := range candidates {
		edits := distance(strings.ToLower(word), candidate)
		if edits < fewest {
			best, fewest = candidate, edits
		}
	}
	if best != "" {
		return best
	}
	for _, candidate := range candidates {
		if len(word) > 1 && (strings.HasPrefix(candidate, word) || strings.HasPrefix(word, candidate)) {
			return candidate
		}
	}
	return ""
}

// distance is the number of letters to insert, delete, replace or swap with
// their neighbour that makes a into b (optimal string alignment).
func distance(a, b string) int {
	rows := make([][]int, len(a)+1)
	for i := range rows {
		rows[i] = make([]int, len(b)+1)
		rows[i][0] = i
	}
	for j := range rows[0] {
		rows[0][j] = j
	}
	for i := 1; i <= len(a); i++ {
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			rows[i][j] = min(rows[i-1][j]+1, rows[i][j-1]+1, rows[i-1][j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				rows[i][j] = min(rows[i][j], rows[i-2][j-2]+1)
			}
		}
	}
	return rows[len(a)][len(b)]
}

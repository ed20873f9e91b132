package spec

import "strings"

// suggestion returns "; did you mean …?" with the candidate nearest to word,
// or nothing if none is near.
func suggestion(word string, candidates []string) string {
	best := nearest(word, candidates)
	if best == "" {
		return ""
	}
	return `; did you mean "` + best + `"?`
}

// nearest returns the candidate nearest to word, or nothing if none is near.
func nearest(word string, candidates []string) (best string) {
	bestDistance := 0
	for _, c := range candidates {
		d := editDistance(plain(word), plain(c))
		if d <= max(1, min(len(word), len(c))/3) && (best == "" || d < bestDistance) {
			best, bestDistance = c, d
		}
	}
	return best
}

// plain removes what people mix up between styles of names: the case, hyphens
// and underscores.
func plain(name string) string {
	return strings.NewReplacer("-", "", "_", "").Replace(strings.ToLower(name))
}

// wordMax bounds the words that are compared: longer ones are no typing errors.
const wordMax = 64

// editDistance returns how many bytes must be inserted, removed, replaced or
// swapped with their neighbour to turn a into b.
func editDistance(a, b string) int {
	if len(a) > wordMax || len(b) > wordMax {
		return wordMax
	}
	before, previous := make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range previous {
		previous[j] = j
	}
	for i := range len(a) {
		current := make([]int, len(b)+1)
		current[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			current[j+1] = min(previous[j+1]+1, current[j]+1, previous[j]+cost)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				current[j+1] = min(current[j+1], before[j-1]+1)
			}
		}
		before, previous = previous, current
	}
	return previous[len(b)]
}

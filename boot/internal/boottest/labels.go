package boottest

import "encoding/json"

// UnmarshalJSON reads the pairs that the stub of blkid prints.
func (l *Labels) UnmarshalJSON(text []byte) error {
	var pairs [][2]string
	if err := json.Unmarshal(text, &pairs); err != nil {
		return err
	}
	*l = Labels{}
	for _, p := range pairs {
		(*l)[p[0]] = p[1]
	}
	return nil
}

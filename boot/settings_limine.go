package boot

import "fmt"

// Limine is boot.loader.limine.
type Limine struct {
	Enable bool `json:"enable"` // must not be false
}

func newLimine() *Limine { return &Limine{Enable: true} }

func (l *Limine) hostPaths() []*string { return nil }

func (l *Limine) validate() error {
	if !l.Enable {
		return fmt.Errorf("enable is false: leave %s out, or set installBootLoader to false", LimineName)
	}
	return nil
}

package ondisk

import (
	"errors"
	"fmt"
)

// A name-value list in XDR, packed as libnvpair does (nvs_xdr_nvlist):
//
//	|1 1 0 0| version | flags | pair | pair | ... | 0 0 |       the four bytes at the outermost list only
//	          u32       u32                         u32s
//	pair: | encoded size | decoded size | name length, name | type | elements | value |
//
// The decoded size is what the pair takes in the kernel's memory, which allocates
// by it. Everything is padded to four bytes.
type NVList []NVPair

// NVPair is a name and a value: a [Flag], uint64, string, []byte, NVList or
// []NVList.
type NVPair struct {
	Name  string
	Value any
}

// Flag is the value of a pair that has none (DATA_TYPE_BOOLEAN): it is there.
type Flag struct{}

// Types of values (data_type_t).
const (
	nvBoolean   = 1
	nvUint64    = 8
	nvString    = 9
	nvByteArray = 10
	nvList      = 19
	nvListArray = 20
)

// Head of the outermost list: XDR, from a little endian machine.
var nvHead = [4]byte{1, 1, 0, 0}

const (
	nvUniqueName = 1 // flag: a name is there once
	nvMaxDepth   = 8 // far more than anything nests
)

// Sizes of the kernel's structures by which decoded sizes are computed:
// nvpair_t with its name, nvlist_t, and an element of an array of them with its
// pointer.
const (
	nvPairSize    = 16
	nvListSize    = 24
	nvElementSize = 32
)

// Encode returns the list as it is stored in labels, objects and attributes.
// It panics on values of other types than [NVPair] allows.
func (l NVList) Encode() []byte { return l.append(nvHead[:len(nvHead):len(nvHead)]) }

func (l NVList) append(p []byte) []byte {
	p = be.AppendUint32(p, 0)
	p = be.AppendUint32(p, nvUniqueName)
	for _, pair := range l {
		p = pair.append(p)
	}
	return append(p, 0, 0, 0, 0, 0, 0, 0, 0)
}

func (pair NVPair) append(p []byte) []byte {
	start := len(p)
	p = append(p, 0, 0, 0, 0, 0, 0, 0, 0) // sizes
	p = appendXDRString(p, pair.Name)
	head := func(kind, elements int) {
		p = be.AppendUint32(p, uint32(kind))
		p = be.AppendUint32(p, uint32(elements))
	}
	decoded := 0
	switch v := pair.Value.(type) {
	case Flag:
		head(nvBoolean, 0)
	case uint64:
		head(nvUint64, 1)
		p = be.AppendUint64(p, v)
		decoded = 8
	case string:
		head(nvString, 1)
		p = appendXDRString(p, v)
		decoded = len(v) + 1
	case []byte:
		head(nvByteArray, len(v))
		p = padXDR(append(p, v...), len(v))
		decoded = len(v)
	case NVList:
		head(nvList, 1)
		p = v.append(p)
		decoded = nvListSize
	case []NVList:
		head(nvListArray, len(v))
		for _, e := range v {
			p = e.append(p)
		}
		decoded = len(v) * nvElementSize
	default:
		panic(fmt.Sprintf("ondisk: %q in a name-value list is a %T", pair.Name, v))
	}
	be.PutUint32(p[start:], uint32(len(p)-start))
	be.PutUint32(p[start+4:], uint32(roundUp(nvPairSize+len(pair.Name)+1, 8)+roundUp(decoded, 8)))
	return p
}

func appendXDRString(p []byte, s string) []byte {
	p = be.AppendUint32(p, uint32(len(s)))
	return padXDR(append(p, s...), len(s))
}

// padXDR pads what n bytes were appended to to four bytes.
func padXDR(p []byte, n int) []byte { return append(p, make([]byte, roundUp(n, 4)-n)...) }

// roundUp returns the first multiple of unit that is not below n.
func roundUp(n, unit int) int { return (n + unit - 1) / unit * unit }

// Lookup returns the value of a name, or nil.
func (l NVList) Lookup(name string) any {
	for _, pair := range l {
		if pair.Name == name {
			return pair.Value
		}
	}
	return nil
}

var errNVList = errors.New("not a name-value list in XDR")

// DecodeNVList decodes a list that begins at p; what follows is ignored. Strings
// and arrays share no memory with p. Pairs of types that [NVPair] does not know are
// left out.
func DecodeNVList(p []byte) (NVList, error) {
	if len(p) < len(nvHead) || p[0] != nvHead[0] {
		return nil, errNVList
	}
	r := xdrReader{p: p[len(nvHead):]}
	l := r.list(0)
	if r.failed {
		return nil, errNVList
	}
	return l, nil
}

// xdrReader takes values from the front of p. After a failure it returns zeros.
type xdrReader struct {
	p      []byte
	failed bool
}

func (r *xdrReader) bytes(n uint64) []byte {
	padded := (n + 3) &^ 3
	if r.failed || n > uint64(len(r.p)) || padded > uint64(len(r.p)) {
		r.failed = true
		return nil
	}
	b := r.p[:n]
	r.p = r.p[padded:]
	return b
}

func (r *xdrReader) uint32() uint32 {
	if b := r.bytes(4); b != nil {
		return be.Uint32(b)
	}
	return 0
}

func (r *xdrReader) list(depth int) (l NVList) {
	if r.uint32(); depth > nvMaxDepth {
		r.failed = true
	}
	r.uint32()
	for !r.failed {
		rest := r.p
		encoded, decoded := r.uint32(), r.uint32()
		if encoded == 0 && decoded == 0 {
			break
		}
		if uint64(encoded) > uint64(len(rest)) || encoded < 8 {
			r.failed = true
			break
		}
		body := xdrReader{p: rest[8:encoded]}
		if pair, known := body.pair(depth); known && !body.failed {
			l = append(l, pair)
		}
		r.failed = r.failed || body.failed
		r.p = rest[encoded:]
	}
	return l
}

// pair decodes a pair behind its sizes. It is not known if its type is not.
func (r *xdrReader) pair(depth int) (pair NVPair, known bool) {
	pair.Name = string(r.bytes(uint64(r.uint32())))
	kind, elements := r.uint32(), r.uint32()
	switch kind {
	case nvBoolean:
		pair.Value = Flag{}
	case nvUint64:
		if b := r.bytes(8); b != nil {
			pair.Value = be.Uint64(b)
		}
	case nvString:
		pair.Value = string(r.bytes(uint64(r.uint32())))
	case nvByteArray:
		pair.Value = append([]byte{}, r.bytes(uint64(elements))...)
	case nvList:
		pair.Value = r.list(depth + 1)
	case nvListArray:
		var all []NVList
		for ; elements > 0 && !r.failed; elements-- {
			all = append(all, r.list(depth+1))
		}
		pair.Value = all
	default:
		return pair, false
	}
	return pair, true
}

package tarfile

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"reflect"
	"strconv"
	"strings"
	"testing"
)

// archive is a tar that is put together by hand.
type archive struct{ bytes.Buffer }

// fields are what a header has besides what all of them have.
type fields map[field]string

// header appends a header with its data.
func (a *archive) header(typeflag byte, name, data string, more fields) *archive {
	var b block
	set := func(f field, text string) { copy(b[f.from:f.to], text) }
	set(fieldName, name)
	set(fieldMode, "0000644\x00")
	set(fieldUID, "0000000\x00")
	set(fieldGID, "0000000\x00")
	set(fieldSize, fmt.Sprintf("%011o\x00", len(data)))
	set(fieldMtime, "00000000007\x00")
	set(fieldMagic, "ustar\x0000")
	b[typeflagAt] = typeflag
	for f, text := range more {
		clear(b[f.from:f.to])
		set(f, text)
	}
	set(fieldChecksum, "        ")
	sum := 0
	for _, c := range b {
		sum += int(c)
	}
	set(fieldChecksum, fmt.Sprintf("%06o\x00 ", sum))
	a.Write(b[:])
	return a.data(data)
}

// data appends data, padded to whole blocks.
func (a *archive) data(data string) *archive {
	a.WriteString(data)
	a.Write(make([]byte, roundUp(int64(len(data)))-int64(len(data))))
	return a
}

// pax appends a pax header.
func (a *archive) pax(typeflag byte, keysAndValues ...string) *archive {
	var data string
	for n := 0; n < len(keysAndValues); n += 2 {
		data += paxRecord(keysAndValues[n], keysAndValues[n+1])
	}
	return a.header(typeflag, "pax", data, nil)
}

func paxRecord(key, value string) string {
	rest := " " + key + "=" + value + "\n"
	length := len(rest)
	for length != len(rest)+len(strconv.Itoa(length)) {
		length = len(rest) + len(strconv.Itoa(length))
	}
	return strconv.Itoa(length) + rest
}

// end appends the end mark.
func (a *archive) end() *archive {
	a.Write(make([]byte, 2*blockSize))
	return a
}

// read returns all members.
func (a *archive) read() ([]*Header, error) { return readAll(a.Bytes()) }

func readAll(p []byte) (list []*Header, err error) {
	r := NewReader(bytes.NewReader(p), int64(len(p)))
	for {
		h, err := r.Next()
		if err == io.EOF {
			return list, nil
		}
		if err != nil {
			return list, err
		}
		list = append(list, h)
	}
}

func newArchive() *archive { return &archive{} }

// gnu are the fields of GNU's headers.
func gnu(more fields) fields {
	f := fields{fieldMagic: magicGNU}
	for k, v := range more {
		f[k] = v
	}
	return f
}

func TestDialects(t *testing.T) {
	long := strings.Repeat("long/", 60) + "name"
	for _, c := range []struct {
		name string
		a    *archive
		want Header // of the last member; Offset and Mtime are not compared
	}{
		{"v7", newArchive().header(0, "file", "data", fields{fieldMagic: ""}), Header{Name: "file", Type: TypeRegular, Mode: 0o644, Size: 4, Data: []Segment{{0, 4, 512}}}},
		{"v7 directory", newArchive().header(0, "dir/", "", fields{fieldMagic: ""}), Header{Name: "dir/", Type: TypeDir, Mode: 0o644}},
		{"v7 without a prefix", newArchive().header('0', "file", "", fields{fieldMagic: "", fieldPrefix: "junk"}), Header{Name: "file", Type: TypeRegular, Mode: 0o644}},
		{"ustar with a prefix", newArchive().header('0', "file", "", fields{fieldPrefix: "a/b"}), Header{Name: "a/b/file", Type: TypeRegular, Mode: 0o644}},
		{"star with a prefix and times", newArchive().header('0', "file", "", fields{fieldPrefixStar: "a/b", {476, 488}: "00000000001", fieldMagicStar: magicStar}),
			Header{Name: "a/b/file", Type: TypeRegular, Mode: 0o644}},
		{"gnu has times where the prefix is", newArchive().header('0', "file", "", gnu(fields{fieldPrefix: "00000000001"})), Header{Name: "file", Type: TypeRegular, Mode: 0o644}},
		{"names that fill their fields", newArchive().header('2', strings.Repeat("n", 100), "", fields{fieldLinkname: strings.Repeat("l", 100)}),
			Header{Name: strings.Repeat("n", 100), Linkname: strings.Repeat("l", 100), Type: TypeSymlink, Mode: 0o644}},
		{"mode with a type", newArchive().header('5', "dir/", "", fields{fieldMode: "0041755"}), Header{Name: "dir/", Type: TypeDir, Mode: 0o1755}},
		{"contiguous", newArchive().header('7', "file", "x", nil), Header{Name: "file", Type: TypeRegular, Mode: 0o644, Size: 1, Data: []Segment{{0, 1, 512}}}},
		{"base 256", newArchive().header('0', "file", "", fields{fieldUID: "\x80\x00\x00\x00\xff\xff\xff\xff", fieldGID: "\x80\x00\x00\x00\x00\x20\x00\x00"}),
			Header{Name: "file", Type: TypeRegular, Mode: 0o644, UID: math.MaxUint32, GID: 1 << 21}},
		{"spaces in numbers", newArchive().header('3', "tty", "", fields{fieldMode: "   644 \x00", fieldMajor: "     4 \x00", fieldMinor: "100"}),
			Header{Name: "tty", Type: TypeChar, Mode: 0o644, Major: 4, Minor: 64}},
		{"junk where a file has no device", newArchive().header('0', "file", "", fields{fieldMajor: "junk"}), Header{Name: "file", Type: TypeRegular, Mode: 0o644}},
		{"GNU's long names", newArchive().header('K', "././@LongLink", "target "+long+"\x00", gnu(nil)).header('L', "././@LongLink", long+"\x00", gnu(nil)).header('2', "cut", "", gnu(nil)),
			Header{Name: long, Linkname: "target " + long, Type: TypeSymlink, Mode: 0o644}},
		{"pax", newArchive().pax('x', "path", long, "linkpath", "t", "uid", "4000000000", "gid", "7", "comment", "no", "atime", "1.5").header('2', "cut", "", nil),
			Header{Name: long, Linkname: "t", Type: TypeSymlink, Mode: 0o644, UID: 4000000000, GID: 7}},
		{"pax size", newArchive().pax('x', "size", "3").header('0', "file", "abc", fields{fieldSize: "00000000000\x00"}),
			Header{Name: "file", Type: TypeRegular, Mode: 0o644, Size: 3, Data: []Segment{{0, 3, 1536}}}},
		{"an empty value is none", newArchive().pax('x', "path", "").header('0', "file", "", nil), Header{Name: "file", Type: TypeRegular, Mode: 0o644}},
		{"values with newlines and equals", newArchive().pax('x', "path", "a=b\nc").header('0', "file", "", nil), Header{Name: "a=b\nc", Type: TypeRegular, Mode: 0o644}},
		{"global records", newArchive().pax('g', "uid", "5", "comment", "0123").header('0', "a", "", nil).pax('g', "gid", "6").pax('x', "uid", "8").header('0', "b", "", nil),
			Header{Name: "b", Type: TypeRegular, Mode: 0o644, UID: 8, GID: 6}},
		{"devices of star", newArchive().pax('x', "SCHILY.devmajor", "100000", "SCHILY.devminor", "200000").header('4', "disk", "", nil),
			Header{Name: "disk", Type: TypeBlock, Mode: 0o644, Major: 100000, Minor: 200000}},
		{"attributes", newArchive().pax('x', "SCHILY.xattr.user.a%3Db%25", "1\n=", "LIBARCHIVE.xattr.user.c%20d", "AP8", "LIBARCHIVE.xattr.user.e", "AA==", "SCHILY.xattr.user.e", "star", "RHT.security.selinux", "label", "SCHILY.xattr.user.f", "", "SCHILY.acl.access", "u", "SCHILY.acl.default", "d").header('0', "file", "", nil),
			Header{Name: "file", Type: TypeRegular, Mode: 0o644, ACLAccess: "u", ACLDefault: "d",
				Xattrs: []Xattr{{"user.a=b%", []byte("1\n=")}, {"user.c d", []byte("\x00\xff")}, {"user.e", []byte("star")}, {"security.selinux", []byte("label\x00")}, {"user.f", []byte("")}}}},
		{"a volume label", newArchive().header('V', "label", "", gnu(nil)).header('0', "file", "", gnu(nil)), Header{Name: "file", Type: TypeRegular, Mode: 0o644}},
		{"GNU's directories with lists", newArchive().header('D', "dir/", "Yfile\x00\x00", gnu(nil)).header('6', "fifo", "", gnu(nil)), Header{Name: "fifo", Type: TypeFIFO, Mode: 0o644}},
		{"a hard link with the size of its target", newArchive().header('1', "link", "", fields{fieldLinkname: "file", fieldSize: "00000001000\x00"}).header('0', "next", "", nil),
			Header{Name: "next", Type: TypeRegular, Mode: 0o644}},
		{"a hard link with data", newArchive().pax('x', "size", "600").header('1', "link", strings.Repeat("d", 600), nil).header('0', "next", "", nil),
			Header{Name: "next", Type: TypeRegular, Mode: 0o644}},
		{"a directory with a size", newArchive().header('5', "dir", "", fields{fieldSize: "00000001000\x00"}).header('0', "next", "", nil), Header{Name: "next", Type: TypeRegular, Mode: 0o644}},
		{"a lone block of zeros", newArchive().data("\x00").header('0', "file", "", nil), Header{Name: "file", Type: TypeRegular, Mode: 0o644}},

		{"sparse GNU", newArchive().header('S', "file", "abcdefg", gnu(fields{fieldSparseGNU: segment(512, 3) + segment(2048, 4) + segment(4096, 0), fieldRealSizeGNU: "00000010000\x00"})),
			Header{Name: "file", Type: TypeRegular, Mode: 0o644, Size: 4096, Data: []Segment{{512, 3, 512}, {2048, 4, 515}}}},
		{"sparse 0.0", newArchive().pax('x', "GNU.sparse.size", "4096", "GNU.sparse.numblocks", "2", "GNU.sparse.offset", "512", "GNU.sparse.numbytes", "3", "GNU.sparse.offset", "2048", "GNU.sparse.numbytes", "4").header('0', "file", "abcdefg", nil),
			Header{Name: "file", Type: TypeRegular, Mode: 0o644, Size: 4096, Data: []Segment{{512, 3, 1536}, {2048, 4, 1539}}}},
		{"sparse 0.1", newArchive().pax('x', "GNU.sparse.name", "real", "GNU.sparse.size", "4096", "GNU.sparse.map", "512,3,2048,4,4096,0").header('0', "GNUSparseFile.1/file", "abcdefg", nil),
			Header{Name: "real", Type: TypeRegular, Mode: 0o644, Size: 4096, Data: []Segment{{512, 3, 1536}, {2048, 4, 1539}}}},
		{"sparse 1.0", newArchive().pax('x', "GNU.sparse.major", "1", "GNU.sparse.minor", "0", "GNU.sparse.name", "real", "GNU.sparse.realsize", "4096").header('0', "GNUSparseFile.1/file", pad("2\n512\n3\n2048\n4\n")+"abcdefg", nil),
			Header{Name: "real", Type: TypeRegular, Mode: 0o644, Size: 4096, Data: []Segment{{512, 3, 2048}, {2048, 4, 2051}}}},
		{"sparse 1.0, a hole only", newArchive().pax('x', "GNU.sparse.major", "1", "GNU.sparse.minor", "0", "GNU.sparse.name", "real", "GNU.sparse.realsize", "4096").header('0', "file", pad("1\n4096\n0\n"), nil),
			Header{Name: "real", Type: TypeRegular, Mode: 0o644, Size: 4096}},
	} {
		list, err := c.a.end().read()
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		got := *list[len(list)-1]
		got.Offset, got.Mtime = 0, c.want.Mtime
		if !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s:\ngot  %+v\nwant %+v", c.name, got, c.want)
		}
	}
}

func segment(offset, length int64) string { return fmt.Sprintf("%011o\x00%011o\x00", offset, length) }

func pad(text string) string {
	return text + strings.Repeat("\x00", int(roundUp(int64(len(text))))-len(text))
}

func TestMoreSegments(t *testing.T) {
	// 4 in the header, 21 in the next block, 2 in the last.
	var data string
	var want []Segment
	entries := make([]string, 27)
	for n := range entries {
		entries[n] = segment(int64(n)*1024, 2)
		want = append(want, Segment{int64(n) * 1024, 2, 512*3 + int64(n)*2})
		data += "xy"
	}
	a := newArchive().header('S', "file", "", gnu(fields{
		fieldSparseGNU: strings.Join(entries[:4], ""), {isExtendedGNU, isExtendedGNU + 1}: "\x01",
		fieldRealSizeGNU: fmt.Sprintf("%011o", 27*1024), fieldSize: fmt.Sprintf("%011o", len(data))}))
	more := strings.Join(entries[4:25], "")
	a.data(more + "\x01")
	a.data(strings.Join(entries[25:], ""))
	a.data(data)
	list, err := a.header('0', "next", "", nil).end().read()
	if err != nil || len(list) != 2 {
		t.Fatalf("%d members, %v", len(list), err)
	}
	if !reflect.DeepEqual(list[0].Data, want) {
		t.Errorf("got %v", list[0].Data)
	}
}

func TestErrors(t *testing.T) {
	sparse10 := func(size, text string) *archive {
		return newArchive().pax('x', "GNU.sparse.major", "1", "GNU.sparse.minor", "0", "GNU.sparse.realsize", size).header('0', "file", text, nil)
	}
	sparse01 := func(size, list, data string) *archive {
		return newArchive().pax('x', "GNU.sparse.size", size, "GNU.sparse.map", list).header('0', "file", data, nil)
	}
	for _, c := range []struct {
		a    *archive
		want string
	}{
		{newArchive().data(strings.Repeat("text ", 1000)), `at byte 0: not a tar archive`},
		{newArchive().header('0', "file", "data", nil).data("no header"), `at byte 1024: the checksum of the header at byte 1024 is wrong: the archive is damaged`},
		{newArchive().header('0', "file", "", fields{fieldSize: "00000010000\x00"}), "member \"file\" at byte 0: 4096 bytes of data of which 1024 are there: the archive is truncated: unexpected EOF"},
		{newArchive().header('0', "file", "", fields{fieldSize: "\x80\x00\x00\x00\x7f\xff\xff\xff\xff\xff\xff\xff"}), "a size of 9223372036854775807 bytes"},
		{newArchive().header('0', "file", "", fields{fieldSize: "\x80\x00\x00\x00\xff\xff\xff\xff\xff\xff\xff\xff"}), "is too large a number"},
		{newArchive().header('0', "file", "", fields{fieldSize: "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"}), "a size of -1 bytes"},
		{newArchive().header('0', "file", "", fields{fieldUID: "junk"}), `member "file" at byte 0: uid: "junk\x00\x00\x00\x00" is not an octal number`},
		{newArchive().header('0', "file", "", fields{fieldUID: "\x80\x00\x00\x01\x00\x00\x00\x00"}), "uid 4294967296 is not in [0, 4294967295]"},
		{newArchive().header('0', "file", "", fields{fieldUID: "\xff\xff\xff\xff\xff\xff\xff\xff"}), "uid -1 is not in"},
		{newArchive().header('3', "dev", "", fields{fieldMinor: "9"}), "device number: "},
		{newArchive().header('Q', "odd", "", nil), `member "odd" at byte 0: a member of type 'Q', which is not known`},
		{newArchive().header('M', "file", "", gnu(nil)), "join the volumes first"},
		{newArchive().header('S', "file", "", nil), "a sparse file in a format other than GNU's"},
		{newArchive().pax('x', "path", "x"), "the archive ends behind a header that belongs to a member"},
		{newArchive().header('L', "x", "name", gnu(nil)), "the archive ends behind a header that belongs to a member"},
		{newArchive().header('L', "x", strings.Repeat("n", 5000), gnu(nil)), "a header of type 'L' has 5000 bytes: at most 4097 are possible"},
		{newArchive().header('x', "x", "", fields{fieldSize: "77777777777\x00"}), "a header of type 'x' has 8589934591 bytes: at most 16777216 are possible"},
		{newArchive().header('x', "x", "", fields{fieldSize: "00010000000\x00"}), "the archive is truncated"},
		{newArchive().pax('x', "path", strings.Repeat("n", 5000)).header('0', "f", "", nil), "a name of 5000 bytes: at most 4096 are possible"},
		{newArchive().pax('x', "path", "a\x00b").header('0', "f", "", nil), `a name with a NUL byte: "a\x00b"`},
		{newArchive().pax('x', "uid", "-1").header('0', "f", "", nil), `member "f" at byte 0: uid -1 is not in`},
		{newArchive().pax('x', "uid", "x").header('0', "f", "", nil), `uid of the pax header: "x" is not a number`},
		{newArchive().pax('x', "mtime", "x").header('0', "f", "", nil), `mtime of the pax header: "x" is not a time`},
		{newArchive().pax('x', "LIBARCHIVE.xattr.user.%", "x").header('0', "f", "", nil), "not a name in URL encoding"},
		{newArchive().pax('x', "LIBARCHIVE.xattr.user.a", "?").header('0', "f", "", nil), "not a value in base64"},
		{newArchive().pax('g', "path", "x").header('0', "f", "", nil), "a pax header gives all members the same path"},
		{newArchive().header('x', "x", "path=x\n", nil), "a record of a pax header has no length"},
		{newArchive().header('x', "x", "99 path=x\n", nil), `a record of a pax header has the length "99"`},
		{newArchive().header('x', "x", "2 \n", nil), `a record of a pax header has the length "2"`},
		{newArchive().header('x', "x", "-1 a=b\n", nil), `a record of a pax header has the length "-1"`},
		{newArchive().header('x', "x", "8 path x\n", nil), `is not "key=value"`},
		{newArchive().header('x', "x", "9 path=xy", nil), `is not "key=value"`},
		{sparse10("10", pad("1\n5\n6\n")+"abcdef"), "the map of a sparse file has 6 bytes at 5: it is not in order, or larger than the file"},
		{sparse10("10", pad("2\n5\n2\n4\n2\n")+"abcd"), "2 bytes at 4: it is not in order"},
		{sparse10("10", pad("1\n0\n3\n")+"abcd"), "the map of a sparse file lacks 1 of its 4 bytes of data"},
		{sparse10("10", pad("1\n0\n5\n")+"abcd"), "the map of a sparse file has more than its 4 bytes of data"},
		{sparse10("10", pad("1\n0\n9223372036854775807\n")+"abcd"), "it is not in order, or larger than the file"},
		{sparse10("-1", pad("0\n")), "a sparse file of -1 bytes"},
		{sparse10("9223372036854775807", pad("0\n")), "a sparse file of 9223372036854775807 bytes"},
		{sparse10("10", pad("99999999999\n0\n")), "the map of a sparse file has the number"},
		{sparse10("10", "5\n"+strings.Repeat("1\n", 255)), "the map of a sparse file has"},
		{sparse10("10", "300\n"+strings.Repeat("0\n0\n", 127)), "the map of a sparse file is longer than its data"},
		{sparse10("10", "1\n0\n0\n"), "the map of a sparse file is longer than its data"},
		{sparse10("10", pad(strings.Repeat("1", 30)+"\n")), "the map of a sparse file has the number"},
		{sparse10("10", pad("-1\n")), `the map of a sparse file has the number "-1"`},
		{sparse10("10", pad("4611686018427387904\n")), "the map of a sparse file has 4611686018427387904 segments"},
		{sparse01("10", "0,3,5", "abc"), "an offset without a length"},
		{sparse01("10", "0,x", "abc"), `"x" is not a number`},
		{newArchive().pax('x', "GNU.sparse.numbytes", "1").header('0', "f", "", nil), "offsets and lengths do not alternate"},
		{newArchive().pax('x', "GNU.sparse.major", "2", "GNU.sparse.minor", "0").header('0', "f", "", nil), "a sparse file of version 2.0, which is not known"},
		{newArchive().header('S', "file", "", gnu(fields{{isExtendedGNU, isExtendedGNU + 1}: "\x01", fieldRealSizeGNU: "0"})).data("x" + strings.Repeat("1", 511)), "the map of a sparse file: "},
	} {
		_, err := c.a.end().read()
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("got  %v\nwant %s", err, c.want)
		}
		if e := (*Error)(nil); err != nil && !errors.As(err, &e) {
			t.Errorf("%v is a %T", err, err)
		}
	}
}

// TestTruncated cuts an archive at every byte.
func TestTruncated(t *testing.T) {
	whole := newArchive().pax('x', "path", "a long name", "uid", "7").header('0', "a", strings.Repeat("data", 200), nil).
		pax('x', "GNU.sparse.major", "1", "GNU.sparse.minor", "0", "GNU.sparse.realsize", "4096").header('0', "file", pad("1\n10\n4\n")+"abcd", nil).
		header('L', "x", "a name\x00", gnu(nil)).header('2', "b", "", gnu(fields{fieldLinkname: "t"})).Bytes()
	end := len(whole)
	whole = append(whole, make([]byte, 2*blockSize)...)
	for n := range len(whole) + 1 {
		_, err := readAll(whole[:n])
		if complete := n >= end+blockSize && n%blockSize == 0; complete != (err == nil) {
			t.Errorf("%d of %d bytes: %v", n, len(whole), err)
		}
		if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("%d of %d bytes: %v", n, len(whole), err)
		}
	}
}

func TestParseTime(t *testing.T) {
	for _, c := range []struct {
		text string
		sec  int64
		nsec uint32
		bad  bool
	}{
		{"0", 0, 0, false},
		{"1350244992.023960108", 1350244992, 23960108, false},
		{"1.5", 1, 5e8, false},
		{"1.", 1, 0, false},
		{"1.0000000019", 1, 1, false},
		{"-1", -1, 0, false},
		{"-1.5", -2, 5e8, false},
		{"-0.25", -1, 75e7, false},
		{"-0.0", 0, 0, false},
		{"253402300799", 253402300799, 0, false},
		{"-9223372036854775808", math.MinInt64, 0, false},
		{"-9223372036854775808.1", 0, 0, true},
		{"9223372036854775808", 0, 0, true},
		{".5", 0, 0, true},
		{"1.5e3", 0, 0, true},
		{"1.-5", 0, 0, true},
		{"1.2.3", 0, 0, true},
		{"", 0, 0, true},
		{"1 ", 0, 0, true},
	} {
		sec, nsec, err := parseTime(c.text)
		if (err != nil) != c.bad || err == nil && (sec != c.sec || nsec != c.nsec) {
			t.Errorf("%q: %d, %d, %v", c.text, sec, nsec, err)
		}
	}
}

func TestParseNumber(t *testing.T) {
	for _, c := range []struct {
		text string
		want int64
		bad  bool
	}{
		{"0000644\x00", 0o644, false},
		{"   644 \x00", 0o644, false},
		{"\x00\x00\x00\x00\x00\x00\x00\x00", 0, false},
		{"        ", 0, false},
		{"77777777", 0o77777777, false},
		{"644\x00junk", 0o644, false},
		{"8", 0, true},
		{"-1", 0, true},
		{"0x1", 0, true},
		{"\x80\x00\x00\x00\x00\x00\x01\x00", 256, false},
		{"\xff\xff\xff\xff\xff\xff\xff\xff", -1, false},
		{"\xff\xff\xff\xff\xff\xff\xff\x00", -256, false},
		{"\x80\x00\x00\x00\x7f\xff\xff\xff\xff\xff\xff\xff", math.MaxInt64, false},
		{"\x80\x00\x00\x00\x80\x00\x00\x00\x00\x00\x00\x00", 0, true},
		{"\xff\xff\xff\xff\x80\x00\x00\x00\x00\x00\x00\x00", math.MinInt64, false},
		{"\xff\xff\xff\xff\x7f\xff\xff\xff\xff\xff\xff\xff", 0, true},
		{"777777777777777777777", math.MaxInt64, false},
		{"7777777777777777777777", 0, true},
	} {
		got, err := parseNumber([]byte(c.text))
		if (err != nil) != c.bad || got != c.want && err == nil {
			t.Errorf("%q: %d, %v", c.text, got, err)
		}
	}
}

// TestSignedChecksum reads a header of a tar that summed bytes with a sign.
func TestSignedChecksum(t *testing.T) {
	a := newArchive().header('0', "na\xefve", "", nil)
	p := a.Bytes()
	copy(p[fieldChecksum.from:fieldChecksum.to], "        ")
	sum := 0
	for _, c := range p[:blockSize] {
		sum += int(int8(c))
	}
	copy(p[fieldChecksum.from:], fmt.Sprintf("%06o\x00 ", sum))
	list, err := a.end().read()
	if err != nil || list[0].Name != "na\xefve" {
		t.Errorf("%v", err)
	}
}

// FuzzReader reads anything: whatever it is, what is said of members must be
// inside of the archive.
func FuzzReader(f *testing.F) {
	f.Add(newArchive().header('0', "a", "data", nil).header('5', "d/", "", nil).end().Bytes())
	f.Add(newArchive().pax('x', "path", "p", "size", "4", "mtime", "-1.5", "SCHILY.xattr.user.a", "b", "LIBARCHIVE.xattr.user.b", "Yg").header('0', "a", "data", nil).end().Bytes())
	f.Add(newArchive().pax('g', "uid", "1").header('1', "a", "", nil).end().Bytes())
	f.Add(newArchive().header('L', "x", "name\x00", gnu(nil)).header('K', "x", "link\x00", gnu(nil)).header('2', "b", "", gnu(nil)).end().Bytes())
	f.Add(newArchive().header('S', "f", "ab", gnu(fields{fieldSparseGNU: segment(5, 2), fieldRealSizeGNU: "0000010", {isExtendedGNU, isExtendedGNU + 1}: "\x01"})).data(segment(8, 0)).end().Bytes())
	f.Add(newArchive().pax('x', "GNU.sparse.size", "9", "GNU.sparse.map", "1,2").header('0', "f", "ab", nil).end().Bytes())
	f.Add(newArchive().pax('x', "GNU.sparse.major", "1", "GNU.sparse.minor", "0", "GNU.sparse.realsize", "9").header('0', "f", pad("1\n1\n2\n")+"ab", nil).end().Bytes())
	f.Fuzz(func(t *testing.T, p []byte) {
		// Whoever mutates cannot add up checksums: they do not count here.
		p = bytes.Clone(p)
		for n := 0; n+blockSize <= len(p); n += blockSize {
			fixChecksum((*block)(p[n:]))
		}
		list, _ := readAll(p)
		if len(list) > len(p)/blockSize {
			t.Fatalf("%d members in %d bytes", len(list), len(p))
		}
		for _, h := range list {
			end, total := int64(0), int64(0)
			for _, d := range h.Data {
				if d.Offset < end || d.Length <= 0 || d.Offset+d.Length > h.Size || d.Position < 0 || d.Position+d.Length > int64(len(p)) {
					t.Fatalf("segment %+v of %+v", d, h)
				}
				end, total = d.Offset+d.Length, total+d.Length
			}
			if h.Type != TypeRegular && h.Size != 0 {
				t.Fatalf("size of %+v", h)
			}
			if total > int64(len(p)) || len(h.Name) > maxName || len(h.Linkname) > maxName {
				t.Fatalf("%+v", h)
			}
		}
	})
}

// fixChecksum makes the checksum right of what looks like a header.
func fixChecksum(b *block) {
	if *b == (block{}) || !bytes.HasPrefix(b.bytes(fieldMagic), []byte("ustar")) {
		return
	}
	copy(b.bytes(fieldChecksum), "        ")
	sum := 0
	for _, c := range b {
		sum += int(c)
	}
	copy(b.bytes(fieldChecksum), fmt.Sprintf("%06o\x00 ", sum))
}

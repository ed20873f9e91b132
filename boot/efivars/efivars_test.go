package efivars

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"diskwright/test/oracle"

	"github.com/google/uuid"
)

// build is where a build of OVMF has the parts of its variable store.
type build struct{ volume, store int }

var (
	small = build{volume: 0x20000, store: 0xdfb8}  // OVMF_VARS.fd, the "2M" build
	large = build{volume: 0x84000, store: 0x3ffb8} // OVMF_VARS_4M.fd
)

// template returns an empty store as EDK II's build makes it: its digest is that
// of Debian's.
func (o build) template() []byte {
	b := bytes.Repeat([]byte{erased}, o.volume)
	header := b[:0x48]
	clear(header)
	appendGUID(header[:offFileSystem], variableVolume)
	binary.LittleEndian.PutUint64(header[offVolumeLength:], uint64(o.volume))
	copy(header[offSignature:], volumeSignature)
	binary.LittleEndian.PutUint32(header[0x2c:], 0x0004feff)
	binary.LittleEndian.PutUint16(header[offHeaderLength:], 0x48)
	header[offRevision] = volumeRevision
	binary.LittleEndian.PutUint32(header[offBlockMap:], uint32(o.volume/4096))
	binary.LittleEndian.PutUint32(header[offBlockMap+4:], 4096)
	seal(b)
	store := b[0x48 : 0x48+storeHeaderSize]
	clear(store)
	appendGUID(store[:0], authenticatedStore)
	binary.LittleEndian.PutUint32(store[offStoreSize:], uint32(o.store))
	store[offStoreFormat], store[offStoreState] = storeFormatted, storeHealthy
	// Where the firmware keeps copies while it erases, after a page of log.
	working := b[0x48+o.store+0x1000:][:0x20]
	appendGUID(working[:0], uuid.MustParse("9E58292B-7C68-497D-A0CE-6500FD9F1B95"))
	binary.LittleEndian.PutUint32(working[16:], 0x642caf2c)
	working[20] = 0xfe
	binary.LittleEndian.PutUint64(working[24:], 0xfe0)
	return b
}

// seal makes the checksum of the volume's header right.
func seal(b []byte) {
	const offChecksum = 50
	binary.LittleEndian.PutUint16(b[offChecksum:], 0)
	var sum uint16
	for n := 0; n < 0x48; n += 2 {
		sum += binary.LittleEndian.Uint16(b[n:])
	}
	binary.LittleEndian.PutUint16(b[offChecksum:], -sum)
}

func read(t testing.TB, b []byte) *Store {
	t.Helper()
	s, err := Read(b)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

var sample = BootEntry{
	Description: "Linux Boot Manager",
	Partition:   HardDrive{Number: 1, Start: 16384, Sectors: 507904, GUID: uuid.MustParse("f222513b-ded1-49fa-b591-20ce86a2fe7f")},
	File:        "/EFI/systemd/systemd-bootx64.efi",
}

// sampleOption is what `bootctl install` (systemd 252) writes for the sample,
// but for the partition: compared with it as reference/boot-facts.md tells.
const sampleOption = "01000000" + "7400" +
	"4c0069006e0075007800200042006f006f00740020004d0061006e0061006700650072000000" + // Linux Boot Manager
	"04012a00" + "01000000" + "0040000000000000" + "00c0070000000000" + "3b5122f2d1defa49b59120ce86a2fe7f" + "0202" +
	"04044600" + "5c004500460049005c00730079007300740065006d0064005c00730079007300740065006d0064002d0062006f006f0074007800360034002e006500660069000000" +
	"7fff0400"

func TestTemplates(t *testing.T) {
	for _, c := range []struct {
		build  build
		digest string
	}{
		{small, "6ed987af3a3c155be71665f510eae3e007eda9b8b94afd59d45e91c4a11565cc"},
		{large, "5d2ac383371b408398accee7ec27c8c09ea5b74a0de0ceea6513388b15be5d1e"},
	} {
		b := c.build.template()
		if digest := sha256.Sum256(b); hex.EncodeToString(digest[:]) != c.digest {
			t.Errorf("template of %#x bytes: %x", c.build.volume, digest)
		}
		s := read(t, b)
		if len(s.Variables()) != 0 || s.Free() != s.Capacity() || s.Capacity() != c.build.store-storeHeaderSize || !bytes.Equal(s.Bytes(), b) {
			t.Errorf("%d variables, %d of %d bytes free", len(s.Variables()), s.Free(), s.Capacity())
		}
	}
}

func TestAddBootEntry(t *testing.T) {
	for _, o := range []build{small, large} {
		template := o.template()
		s := read(t, template)
		number, err := s.AddBootEntry(sample)
		if number != 0 || err != nil {
			t.Fatal(number, err)
		}
		// 324 bytes, and not one elsewhere.
		const first = 0x64
		wantName := hex.EncodeToString([]byte("B\x00o\x00o\x00t\x000\x000\x000\x000\x00\x00\x00"))
		option, err := hex.DecodeString(sampleOption)
		if err != nil {
			t.Fatal(err)
		}
		header := "aa553f00" + "07000000" + "0000000000000000" + strings.Repeat("00", 16) + "00000000"
		global := "61dfe48bca93d211aa0d00e098032b8c"
		want := header + "12000000" + "a0000000" + global + wantName + sampleOption + "ffff" +
			header + "14000000" + "02000000" + global + hex.EncodeToString([]byte("B\x00o\x00o\x00t\x00O\x00r\x00d\x00e\x00r\x00\x00\x00")) + "0000" + "ffff"
		if len(option) != 160 || len(want) != 2*324 {
			t.Fatal("the test is wrong", len(option), len(want)/2)
		}
		got := s.Bytes()
		if hex.EncodeToString(got[first:first+324]) != want {
			t.Errorf("\n%x, want\n%s", got[first:first+324], want)
		}
		if !bytes.Equal(got[:first], template[:first]) || !bytes.Equal(got[first+324:], template[first+324:]) {
			t.Error("changed something else")
		}
		if s.Capacity()-s.Free() != 324 {
			t.Errorf("%d bytes used", s.Capacity()-s.Free())
		}
		if !bytes.Equal(template, o.template()) {
			t.Error("changed the template in memory")
		}
	}
}

func TestReadBack(t *testing.T) {
	s := read(t, small.template())
	if _, err := s.AddBootEntry(sample); err != nil {
		t.Fatal(err)
	}
	entries := s.BootEntries()
	const wantPath = `HD(1,GPT,F222513B-DED1-49FA-B591-20CE86A2FE7F,0x4000,0x7C000)/\EFI\systemd\systemd-bootx64.efi`
	if len(entries) != 1 || entries[0].Description != sample.Description || entries[0].Attributes != Active ||
		entries[0].DevicePath.String() != wantPath || len(entries[0].Data) != 0 {
		t.Fatalf("%+v", entries)
	}
	if v := s.Variables(); len(v) != 2 || v[0].Name != "Boot0000" || v[1].Name != "BootOrder" || v[1].Attributes != 7 || v[1].Vendor != Global {
		t.Errorf("%+v", v)
	}
}

// Entries come first in the order; numbers are the first that are free; an
// entry of the same description is replaced, and keeps its number.
func TestBootOrder(t *testing.T) {
	s := read(t, small.template())
	add := func(description, file string, wantNumber uint16, wantOrder ...uint16) {
		t.Helper()
		e := sample
		e.Description, e.File = description, file
		number, err := s.AddBootEntry(e)
		if err != nil || number != wantNumber || !slices.Equal(s.BootOrder(), wantOrder) {
			t.Errorf("%q: number %d, order %d, %v", description, number, s.BootOrder(), err)
		}
		s = read(t, s.Bytes())
	}
	add("UiApp", `\ui.efi`, 0, 0)
	add("Limine", `\efi\limine\BOOTX64.EFI`, 1, 1, 0)
	if err := s.Set(Variable{Name: "Boot0003", Vendor: Global, Attributes: 7, Data: []byte("junk")}); err != nil {
		t.Fatal(err)
	}
	add("NixOS-boot", `\a`, 2, 2, 1, 0)
	add("four", `\a`, 4, 4, 2, 1, 0)
	add("Limine", `\efi\limine\other.efi`, 1, 1, 4, 2, 0)
	free := s.Free()
	add("Limine", `/efi/limine/other.efi`, 1, 1, 4, 2, 0) // nothing new: nothing is written
	if s.Free() != free {
		t.Errorf("%d bytes more", free-s.Free())
	}
	if n := len(s.BootEntries()); n != 4 {
		t.Errorf("%d entries", n)
	}
}

// A replaced variable has the state that EDK II leaves it in.
func TestReplace(t *testing.T) {
	s := read(t, small.template())
	other := uuid.MustParse("00112233-4455-6677-8899-aabbccddeeff")
	set := func(vendor uuid.UUID, data string) {
		t.Helper()
		if err := s.Set(Variable{Name: "Täst😀", Vendor: vendor, Attributes: 7, Data: []byte(data)}); err != nil {
			t.Fatal(err)
		}
	}
	set(Global, "old")
	set(other, "other")
	set(Global, "new")
	if state := s.Bytes()[0x64+offState]; state != 0x3c {
		t.Errorf("state %#02x", state)
	}
	for vendor, want := range map[uuid.UUID]string{Global: "new", other: "other"} {
		if v, ok := s.Lookup(vendor, "Täst😀"); !ok || string(v.Data) != want {
			t.Errorf("%+v, want %q", v, want)
		}
	}
	if v, ok := s.Lookup(Global, "test"); ok {
		t.Errorf("%+v", v)
	}
	// Attributes count as a change, too.
	if err := s.Set(Variable{Name: "Täst😀", Vendor: Global, Attributes: 3, Data: []byte("new")}); err != nil {
		t.Fatal(err)
	}
	if v := s.Variables(); len(v) != 2 || v[1].Attributes != 3 {
		t.Errorf("%+v", v)
	}
}

// What a machine leaves that is switched off in the middle.
func TestInterrupted(t *testing.T) {
	s := read(t, small.template())
	if err := s.Set(Variable{Name: "A", Vendor: Global, Attributes: 7, Data: []byte("1")}); err != nil {
		t.Fatal(err)
	}
	second := 0x64 + s.Capacity() - s.Free()
	if err := s.Set(Variable{Name: "A", Vendor: Global, Attributes: 7, Data: []byte("2")}); err != nil {
		t.Fatal(err)
	}
	third := 0x64 + s.Capacity() - s.Free()
	const first = 0x64
	value := func(b []byte) string {
		t.Helper()
		v, _ := read(t, b).Lookup(Global, "A")
		return string(v.Data)
	}

	both := bytes.Clone(s.Bytes())
	both[first+offState] = stateAdded & stateLeaving
	if got := value(both); got != "2" {
		t.Errorf("with a successor: %q", got)
	}
	alone := bytes.Clone(both)
	alone[second+offState] = 0x7f // a header, and perhaps not all of the data
	if got := value(alone); got != "1" {
		t.Errorf("without one: %q", got)
	}
	// Replacing it leaves neither.
	again := read(t, both)
	if err := again.Set(Variable{Name: "A", Vendor: Global, Attributes: 7, Data: []byte("3")}); err != nil {
		t.Fatal(err)
	}
	if b := again.Bytes(); value(b) != "3" || b[first+offState] != 0x3c || b[second+offState] != 0x3c {
		t.Errorf("%q, states %#x %#x", value(b), b[first+offState], b[second+offState])
	}
	// Half of a header: the firmware continues behind it.
	header := bytes.Clone(s.Bytes())
	binary.LittleEndian.PutUint16(header[third:], variableStart)
	h := read(t, header)
	if used := h.Capacity() - h.Free(); used != third+variableHeader-first {
		t.Errorf("%d bytes used", used)
	}
	if _, err := h.AddBootEntry(sample); err != nil || value(h.Bytes()) != "2" || len(read(t, h.Bytes()).BootEntries()) != 1 {
		t.Error(err)
	}
}

// A full template is refused, and left as it is.
func TestFull(t *testing.T) {
	s := read(t, small.template())
	fill := func(free int) {
		t.Helper()
		for n := 0; s.Free() > free; n++ {
			v := Variable{Name: "Fill" + string(rune('A'+n)), Vendor: Global, Attributes: 7}
			v.Data = make([]byte, min(4000, s.Free()-free-variableHeader-12)&^3)
			if err := s.Set(v); err != nil {
				t.Fatal(err)
			}
		}
	}
	fill(320)
	before := bytes.Clone(s.Bytes())
	_, err := s.AddBootEntry(sample)
	if err == nil || !strings.Contains(err.Error(), `boot entry "Linux Boot Manager": the variable store is full: 324 more bytes`) {
		t.Errorf("%v", err)
	}
	if !bytes.Equal(s.Bytes(), before) || s.Free() != 320 {
		t.Error("the store changed")
	}
	s = read(t, small.template())
	fill(324)
	if _, err := s.AddBootEntry(sample); err != nil || s.Free() != 0 {
		t.Errorf("%d bytes free, %v", s.Free(), err)
	}
	read(t, s.Bytes())
}

func TestRefusedEntries(t *testing.T) {
	for _, c := range []struct {
		change func(*BootEntry)
		want   string
	}{
		{func(e *BootEntry) { e.Description = "" }, "no description"},
		{func(e *BootEntry) { e.Description = "a\x00b" }, "zero in it"},
		{func(e *BootEntry) { e.Description = "\xff" }, "not UTF-8"},
		{func(e *BootEntry) { e.File = "EFI/x" }, "absolute path"},
		{func(e *BootEntry) { e.File = "/EFI/" }, "absolute path"},
		{func(e *BootEntry) { e.File = "/\xff" }, "file: "},
		{func(e *BootEntry) { e.File = "/" + strings.Repeat("x", 40000) }, "too long"},
		{func(e *BootEntry) { e.File = "/" + strings.Repeat("x", 5000) }, "firmware takes 8192 at most"},
		{func(e *BootEntry) { e.Partition.GUID = uuid.Nil }, "must be one of a GPT"},
		{func(e *BootEntry) { e.Partition.Number = 0 }, "must be one of a GPT"},
	} {
		e := sample
		c.change(&e)
		s := read(t, small.template())
		if _, err := s.AddBootEntry(e); err == nil || !strings.Contains(err.Error(), c.want) || !bytes.Equal(s.Bytes(), small.template()) {
			t.Errorf("%.80q %.80q: %v", e.Description, e.File, err)
		}
	}
	s := read(t, small.template())
	if err := s.Set(Variable{Vendor: Global}); err == nil {
		t.Error("a variable without a name")
	}
}

// Damaged templates are refused. OVMF erases some of them, and hangs with the
// others.
func TestRefusedFiles(t *testing.T) {
	put := func(at int, b ...byte) func([]byte) []byte {
		return func(file []byte) []byte { copy(file[at:], b); return file }
	}
	sealed := func(change func([]byte) []byte) func([]byte) []byte {
		return func(file []byte) []byte { file = change(file); seal(file); return file }
	}
	for _, c := range []struct {
		name   string
		change func([]byte) []byte
		want   string
	}{
		{"nothing", func([]byte) []byte { return nil }, "it is empty"},
		{"text", func([]byte) []byte { return []byte(strings.Repeat("no ", 999)) }, "it is no variable store: want one like the firmware's OVMF_VARS.fd"},
		{"qcow2", func([]byte) []byte { return []byte("QFI\xfb\x00\x00\x00\x03" + strings.Repeat("\x00", 100)) }, "qemu-img convert -O raw"},
		{"code", put(offFileSystem, 0x78, 0xe5, 0x8c, 0x8c), "not one of variables"},
		{"too large", func(file []byte) []byte { return append(file, make([]byte, MaxFile)...) }, "too large"},
		{"cut in the header", func(file []byte) []byte { return file[:60] }, "ends after 60 bytes"},
		{"cut", func(file []byte) []byte { return file[:len(file)-1] }, "it has 131072 bytes, the file 131071"},
		{"checksum", put(0x2c, 0), "checksum"},
		{"header length 0", put(offHeaderLength, 0, 0), "a header of 0 bytes"},
		{"header length odd", put(offHeaderLength, 0x49), "a header of 73 bytes"},
		{"header length huge", func(file []byte) []byte { return put(offHeaderLength, 0xf8, 0xff)(file[:4096]) }, "a header of 65528 bytes"},
		{"revision", sealed(put(offRevision, 1)), "revision 1"},
		{"zeros", func([]byte) []byte { return make([]byte, 4096) }, "it is all zeros"},
		{"volume length huge", sealed(put(offVolumeLength+7, 0xff)), "the file 131072"},
		{"block map", sealed(put(offBlockMap, 33)), "it has 131072 bytes, its blocks 135168"},
		{"code behind", func(file []byte) []byte { return append(file, 1, 2, 3) }, "3 bytes follow the variable store"},
		{"store GUID", put(0x48, 0), "its GUID is aaf32c00-947b-439a-a180-2e144ec37792"},
		{"plain store", put(0x48, appendGUID(nil, plainStore)...), "without authentication"},
		{"format", put(0x48+offStoreFormat, 0), "format 0x00, state 0xfe"},
		{"state", put(0x48+offStoreState, 0xff), "format 0x5a, state 0xff"},
		{"store size huge", put(0x48+offStoreSize, 0xff, 0xff, 0xff, 0xff), "a size of 4294967295 bytes"},
		{"store size tiny", put(0x48+offStoreSize, 3, 0, 0, 0), "a size of 3 bytes"},
		{"not erased", put(0x100, 0), "not erased"},
		{"not erased at the end", put(0xdfff, 0), "not erased"},
		{"variable too long", variable(1000000, 2, stateAdded), "a name of 1000000 and data of 2 bytes"},
		{"variable overflows", variable(0xfffffff0, 0xfffffff0, stateAdded), "a name of 4294967280"},
		{"dead variable too long", variable(2, 1000000, 0x3c), "data of 1000000 bytes"},
		{"name odd", variable(3, 0, stateAdded), "not UTF-16"},
		{"name empty", variable(2, 2, stateAdded, 0, 0, 1, 1), "not UTF-16"},
		{"name without end", variable(2, 0, stateAdded, 'a', 0), "not UTF-16"},
		{"name with two ends", variable(6, 0, stateAdded, 'a', 0, 0, 0, 0, 0), "not UTF-16"},
		{"half a surrogate", variable(4, 0, stateAdded, 0, 0xd8, 0, 0), "not UTF-16"},
	} {
		if _, err := Read(c.change(small.template())); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
	}
}

// variable returns a function that writes a variable with these sizes at the
// start of a store.
func variable(nameSize, dataSize uint32, state byte, body ...byte) func([]byte) []byte {
	return func(file []byte) []byte {
		b := make([]byte, variableHeader)
		binary.LittleEndian.PutUint16(b, variableStart)
		b[offState] = state
		binary.LittleEndian.PutUint32(b[offNameSize:], nameSize)
		binary.LittleEndian.PutUint32(b[offDataSize:], dataSize)
		copy(file[0x64:], append(b, body...))
		return file
	}
}

// ARM's QEMU wants a file of 64 MiB, and the firmware says so in the volume's
// header.
func TestPadding(t *testing.T) {
	for _, fill := range []byte{0, erased} {
		b := append(small.template(), bytes.Repeat([]byte{fill}, 1<<20)...)
		binary.LittleEndian.PutUint32(b[offBlockMap:], uint32(len(b)/4096))
		seal(b)
		s := read(t, b)
		if _, err := s.AddBootEntry(sample); err != nil || len(s.Bytes()) != len(b) {
			t.Errorf("%d bytes, %v", len(s.Bytes()), err)
		}
	}
}

// Stores that were filled by others: those of Debian with keys for Secure Boot.
func TestDebianStores(t *testing.T) {
	dir := filepath.Dir(oracle.NeedFile(t, "ovmf", "/usr/share/OVMF/OVMF_VARS_4M.ms.fd"))
	for _, c := range []struct {
		file      string
		variables int
		has       string
	}{
		{"OVMF_VARS.fd", 0, ""},
		{"OVMF_VARS_4M.fd", 0, ""},
		{"OVMF_VARS.ms.fd", 31, "PK"},
		{"OVMF_VARS_4M.ms.fd", 31, "PK"},
		{"OVMF_VARS_4M.snakeoil.fd", 31, "PK"},
	} {
		b, err := os.ReadFile(filepath.Join(dir, c.file))
		if err != nil {
			t.Error(err)
			continue
		}
		s, err := Read(b)
		if err != nil {
			t.Errorf("%s: %v", c.file, err)
			continue
		}
		if !bytes.Equal(s.Bytes(), b) {
			t.Errorf("%s: changed", c.file)
		}
		before := s.Variables()
		if len(before) != c.variables {
			t.Errorf("%s: %d variables", c.file, len(before))
		}
		if _, ok := s.Lookup(Global, c.has); ok != (c.has != "") {
			t.Errorf("%s: no %s", c.file, c.has)
		}
		for _, o := range s.BootEntries() {
			t.Logf("%s: Boot%04X %q %s", c.file, o.Number, o.Description, o.DevicePath)
		}
		number, err := s.AddBootEntry(sample)
		if err != nil || s.BootOrder()[0] != number {
			t.Errorf("%s: %v", c.file, err)
		}
		for _, v := range before {
			if now, ok := s.Lookup(v.Vendor, v.Name); !ok || v.Name != bootOrder && !bytes.Equal(now.Data, v.Data) {
				t.Errorf("%s: %s is %x", c.file, v.Name, now.Data)
			}
		}
	}
}

func TestDevicePathText(t *testing.T) {
	for hex_, want := range map[string]string{
		"7fff0400": "",
		"02010c00d041030a00000000" + "0101060003" + "1f" + "7fff0400":                                                                   "PciRoot(0x0)/Pci(0x1F,0x3)",
		"0312" + "0a00" + "0100ffff0200" + "7fff0400":                                                                                   "Sata(0x1,0xFFFF,0x2)",
		"04071400" + "c9bdb87cebf8344faaea3ee4af6516a1" + "04061400" + "21aa2c4614760345836e8ab6f4662331" + "7fff0400":                  "Fv(7CB8BDC9-F8EB-4F34-AAEA-3EE4AF6516A1)/FvFile(462CAA21-7614-4503-836E-8AB6F4662331)",
		"04012a00" + "02000000" + "0008000000000000" + "0010000000000000" + "efbeadde" + strings.Repeat("00", 12) + "0101" + "7fff0400": "HD(2,MBR,0xDEADBEEF,0x800,0x1000)",
		"0403060041ff" + "7fff0400":    "Path(4,3,41FF)",
		"04040500" + "61" + "7fff0400": "Path(4,4,61)",
	} {
		b, err := hex.DecodeString(hex_)
		if err != nil {
			t.Fatal(err)
		}
		p, err := parseDevicePath(b)
		if err != nil || p.String() != want || !bytes.Equal(p.encode(), b) {
			t.Errorf("%s: %s, %v, want %s", hex_, p, err, want)
		}
	}
	for _, bad := range []string{"", "7f", "04040300", "0404ff00", "04040400"} {
		b, _ := hex.DecodeString(bad)
		if p, err := parseDevicePath(b); err == nil {
			t.Errorf("%s: %s", bad, p)
		}
	}
}

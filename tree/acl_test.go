package tree

import (
	"bytes"
	"strings"
	"testing"
)

func TestParseACL(t *testing.T) {
	const none = aclNoID
	for _, c := range []struct {
		text string
		want []aclEntry
	}{
		{"user::rwx,group::r-x,other::---", []aclEntry{{aclUserObj, 7, none}, {aclGroupObj, 5, none}, {aclOther, 0, none}}},
		{"user::rw-\nuser:1000:r--\ngroup::r--\nmask::r--\nother::r--\n", // GNU tar
			[]aclEntry{{aclUserObj, 6, none}, {aclUser, 4, 1000}, {aclGroupObj, 4, none}, {aclMask, 4, none}, {aclOther, 4, none}}},
		{"user::rwx,group::r-x,other::---,user:lisa:rw-:70000,user:root:--x,group:bin:r--:2,mask::rwx", // bsdtar, in its order
			[]aclEntry{{aclUserObj, 7, none}, {aclUser, 1, 0}, {aclUser, 6, 70000}, {aclGroupObj, 5, none}, {aclGroup, 4, 2}, {aclMask, 7, none}, {aclOther, 0, none}}},
		{"u::rwx,g::rw-\t#effective:r--,m:r--,o:r", []aclEntry{{aclUserObj, 7, none}, {aclGroupObj, 6, none}, {aclMask, 4, none}, {aclOther, 4, none}}},
	} {
		got, err := parseACL(c.text)
		if err != nil {
			t.Errorf("%q: %v", c.text, err)
			continue
		}
		if !bytes.Equal(encodeACL(got), encodeACL(c.want)) {
			t.Errorf("%q: got %v, want %v", c.text, got, c.want)
		}
	}
	for text, want := range map[string]string{
		"":                                     "must have the owner, the group and all others once",
		"user::rwx":                            "must have the owner",
		"user::rwx,user::r,group::r,o:r":       "must have the owner",
		"user::rwx,group::r,other::r,user:1:r": "must have a mask",
		"user:lisa:rwx":                        `entry "user:lisa:rwx" of an ACL: no number for the name "lisa"`,
		"user:4294967296:r":                    "no number",
		"user::rwz":                            "'z' is not a permission",
		"role::rwx":                            `"role" is none of user, group, mask and other`,
		"user:rwx":                             "want kind:name:permissions",
		"default:user::rwx:1:2":                "want kind:name:permissions",
	} {
		if _, err := parseACL(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
}

func TestDecodeACL(t *testing.T) {
	good := encodeACL([]aclEntry{{aclUserObj, 7, aclNoID}, {aclUser, 4, 1000}, {aclGroupObj, 4, aclNoID}, {aclMask, 6, aclNoID}, {aclOther, 4, aclNoID}})
	acl, err := decodeACL(good)
	must(t, err)
	if !bytes.Equal(encodeACL(acl), good) {
		t.Error("encoding and decoding differ")
	}
	if mode := modeOfACL(acl); mode != 0o764 {
		t.Errorf("mode %o", mode)
	}
	if got := modeOfACL(chmodACL(acl, 0o751)); got != 0o751 {
		t.Errorf("after chmod: %o", got)
	}
	change := func(at int, b byte) []byte {
		p := bytes.Clone(good)
		p[at] = b
		return p
	}
	for want, p := range map[string][]byte{
		"cannot have 3 bytes":        good[:3],
		"cannot have 11 bytes":       good[:11],
		"of version 3, want 2":       change(0, 3),
		"the tag 0x3":                change(4, 3),
		"the permissions 010":        change(6, 8),
		"not in the order":           change(4, aclOther),
		"must have a mask":           append(bytes.Clone(good[:28]), good[36:]...),
		"must have the owner, the g": good[:36],
	} {
		if _, err := decodeACL(p); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

package nixos

import (
	"fmt"
	"strings"
	"testing"
)

// The numbers of activation, in the order of the lists: fixed ones are reserved
// first, wherever they are.
func TestParseUsers(t *testing.T) {
	u, err := parseUsers([]byte(`{"mutableUsers": true,
		"groups": [
			{"gid": null, "members": [], "name": "a"},
			{"gid": 998, "members": ["root"], "name": "b"},
			{"gid": null, "name": "c"},
			{"gid": 0, "name": "root"},
			{"gid": 100, "name": "users"}
		],
		"users": [
			{"name": "alice", "uid": null, "isSystemUser": false, "group": "users", "shell": "/bin/sh"},
			{"name": "bob", "uid": 1000, "isSystemUser": false, "group": "users"},
			{"name": "carol", "uid": null, "isSystemUser": false, "group": "users"},
			{"name": "dave", "uid": null, "isSystemUser": true, "group": "a"},
			{"name": "erin", "uid": null, "isSystemUser": true, "group": "a"},
			{"name": "fixed", "uid": 999, "isSystemUser": true, "group": "a"},
			{"name": "1234", "uid": 77, "isSystemUser": true, "group": "a"},
			{"name": "root", "uid": 0, "isSystemUser": true, "group": "root"}
		]}`))
	if err != nil {
		t.Fatal(err)
	}
	u.unknown = "why"
	for name, want := range map[string]uint32{
		"alice": 1001, "bob": 1000, "carol": 1002, "dave": 998, "erin": 997, "fixed": 999, "root": 0,
		"1234": 77, // a name, though it looks like a number
		"1235": 1235, "4294967294": 4294967294, "0": 0,
	} {
		if got, err := u.UID(name); got != want || err != nil {
			t.Errorf("UID(%q) = %d, %v; want %d", name, got, err, want)
		}
	}
	for name, want := range map[string]uint32{"a": 999, "b": 998, "c": 997, "root": 0, "users": 100, "1234": 1234} {
		if got, err := u.GID(name); got != want || err != nil {
			t.Errorf("GID(%q) = %d, %v; want %d", name, got, err, want)
		}
	}
	for name, want := range map[string]string{
		"users": `user "users" is unknown: why; want a number`, "": `user ""`, "-1": `user "-1"`, "+1": `user "+1"`,
		"4294967295": "want a number from 0 to 4294967294", "99999999999999999999": "want a number from 0",
	} {
		if got, err := u.UID(name); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("UID(%q) = %d, %v; want %q", name, got, err, want)
		}
	}
}

func TestParseUsersErrors(t *testing.T) {
	for text, want := range map[string]string{
		`[]`: "", `{"users": [{"name": 1}]}`: "", `{"users": [{"name": "x", "uid": "1"}]}`: "",
		`{"users": [{"name": "x", "uid": -1}]}`:                 `"x" has the number -1`,
		`{"groups": [{"name": "x", "gid": 4294967295}]}`:        `"x" has the number 4294967295`,
		`{"users": [{"name": "x", "uid": 99999999999999999999}`: "",
	} {
		if _, err := parseUsers([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
	var many []string
	for n := range 601 {
		many = append(many, fmt.Sprintf(`{"name": "g%d"}`, n))
	}
	if _, err := parseUsers([]byte(`{"groups": [` + strings.Join(many, ",") + `]}`)); err == nil || !strings.Contains(err.Error(), `no number left for "g600"`) {
		t.Errorf("%v", err)
	}
}

func TestNoSystem(t *testing.T) {
	var u *Users
	if got, err := u.UID("12"); got != 12 || err != nil {
		t.Errorf("%d, %v", got, err)
	}
	if _, err := u.GID("wheel"); err == nil || !strings.Contains(err.Error(), `group "wheel" is unknown: there is no system`) {
		t.Errorf("%v", err)
	}
}

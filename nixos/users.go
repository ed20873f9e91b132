package nixos

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"

	"diskwright/tree"
)

// Users are the numbers of the users and groups that a system has after its
// first activation. A nil *Users knows no names, as where there is no system.
type Users struct {
	uids, gids map[string]uint32
	unknown    string // why a name may be unknown
}

// ReadUsers reads the users and groups of a system. Those without a number get
// the one that activation will give them on a system that never had users.
func ReadUsers(ctx context.Context, store *tree.Inode, top *Toplevel) (*Users, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if top.UsersGroups == "" {
		return &Users{
			uids:    map[string]uint32{"root": 0},
			gids:    map[string]uint32{"root": 0},
			unknown: fmt.Sprintf("%q has no users-groups.json to look it up in", top.Path),
		}, nil
	}
	text, err := readFile(store, string(top.UsersGroups))
	if err != nil {
		return nil, err
	}
	u, err := parseUsers(text)
	if err != nil {
		return nil, fmt.Errorf("%q: %w", top.UsersGroups, err)
	}
	u.unknown = fmt.Sprintf("%q has none of that name", top.UsersGroups)
	return u, nil
}

// usersGroups is the part of users-groups.json that numbers depend on (nixpkgs,
// nixos/modules/config/users-groups.nix). The order of the lists matters.
type usersGroups struct {
	Users []struct {
		Name         string `json:"name"`
		UID          *int64 `json:"uid"`
		IsSystemUser bool   `json:"isSystemUser"`
	} `json:"users"`
	Groups []struct {
		Name string `json:"name"`
		GID  *int64 `json:"gid"`
	} `json:"groups"`
}

// Ranges of the numbers that activation gives (nixpkgs,
// nixos/modules/config/update-users-groups.pl).
const (
	minSystemID, maxSystemID = 400, 999
	minNormalID, maxNormalID = 1000, 29999
)

// parseUsers gives numbers to all users and groups: those that are fixed, then
// to the others in their order the highest that is free, but to users who are
// not of the system the lowest.
func parseUsers(text []byte) (*Users, error) {
	var file usersGroups
	if err := json.Unmarshal(text, &file); err != nil {
		return nil, err
	}
	u := &Users{uids: make(map[string]uint32), gids: make(map[string]uint32)}
	gids := numbers{ids: u.gids, used: make(map[uint32]bool)}
	for _, g := range file.Groups {
		gids.fix(g.Name, g.GID)
	}
	for _, g := range file.Groups {
		gids.allocate(g.Name, minSystemID, maxSystemID, false)
	}
	uids := numbers{ids: u.uids, used: make(map[uint32]bool)}
	for _, user := range file.Users {
		uids.fix(user.Name, user.UID)
	}
	for _, user := range file.Users {
		if user.IsSystemUser {
			uids.allocate(user.Name, minSystemID, maxSystemID, false)
		} else {
			uids.allocate(user.Name, minNormalID, maxNormalID, true)
		}
	}
	if err := errors.Join(gids.err, uids.err); err != nil {
		return nil, err
	}
	return u, nil
}

// numbers gives numbers to names, up to the first error.
type numbers struct {
	ids  map[string]uint32
	used map[uint32]bool
	err  error
}

// fix gives a name the number that it is to have, if there is one.
func (n *numbers) fix(name string, id *int64) {
	switch {
	case id == nil || n.err != nil:
	case *id < 0 || *id >= math.MaxUint32: // which chown takes as "leave it"
		n.err = fmt.Errorf("%q has the number %d: want 0 to %d", name, *id, uint32(math.MaxUint32-1))
	default:
		n.ids[name] = uint32(*id)
		n.used[uint32(*id)] = true
	}
}

// allocate gives a name without a number the lowest that is free, or the
// highest.
func (n *numbers) allocate(name string, lowest, highest uint32, up bool) {
	if _, ok := n.ids[name]; ok || n.err != nil {
		return
	}
	for i := range highest - lowest + 1 {
		id := highest - i
		if up {
			id = lowest + i
		}
		if !n.used[id] {
			n.ids[name] = id
			n.used[id] = true
			return
		}
	}
	n.err = fmt.Errorf("there is no number left for %q: all from %d to %d are in use", name, lowest, highest)
}

// UID returns the number of a user: of the one of that name, as chown has it, or
// else name is a number.
func (u *Users) UID(name string) (uint32, error) {
	if u == nil {
		return parseID("user", name, "there is no system to look it up in")
	}
	if id, ok := u.uids[name]; ok {
		return id, nil
	}
	return parseID("user", name, u.unknown)
}

// GID is UID for groups.
func (u *Users) GID(name string) (uint32, error) {
	if u == nil {
		return parseID("group", name, "there is no system to look it up in")
	}
	if id, ok := u.gids[name]; ok {
		return id, nil
	}
	return parseID("group", name, u.unknown)
}

// parseID reads a number.
func parseID(what, text, unknown string) (uint32, error) {
	id, err := strconv.ParseUint(text, 10, 32)
	switch {
	case errors.Is(err, strconv.ErrRange) || err == nil && id == math.MaxUint32:
		return 0, fmt.Errorf("%s %q: want a number from 0 to %d", what, text, uint32(math.MaxUint32-1))
	case err != nil:
		return 0, fmt.Errorf("%s %q is unknown: %s; want a number, or a name that the system has", what, text, unknown)
	}
	return uint32(id), nil
}

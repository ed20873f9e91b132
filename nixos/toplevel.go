package nixos

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"regexp"
	"strings"

	"diskwright/content"
	"diskwright/nixstore"
	"diskwright/tree"
)

// Toplevel is what a system says about itself.
type Toplevel struct {
	Path     nixstore.Path
	Label    string // its version, as boot menus show it; "" if it does not say
	Platform string // as in "x86_64-linux"; "" if it does not say

	// UsersGroups is the file that its users and groups are made from at
	// activation, or empty: systems whose users are made by userborn or
	// systemd-sysusers have none.
	UsersGroups nixstore.Path
}

// usersGroupsPath matches the path of users-groups.json in the script that
// activates a system.
var usersGroupsPath = regexp.MustCompile(regexp.QuoteMeta(nixstore.StoreDir) + `/[0-9a-z]{32}-users-groups\.json`)

// ReadToplevel reads what the toplevel at path in a tree of store objects says
// about itself. All of it is optional.
func ReadToplevel(ctx context.Context, store *tree.Inode, path nixstore.Path) (*Toplevel, error) {
	dir, err := nixstore.Lookup(store, string(path))
	if err != nil {
		return nil, err
	}
	if !dir.IsDir() {
		return nil, fmt.Errorf("%q is not a directory: want the toplevel of a NixOS system", path)
	}
	text := make(map[string]string)
	for _, name := range []string{"nixos-version", "system", "activate"} {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		b, err := readFile(store, string(path)+"/"+name)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		text[name] = string(b)
	}
	return &Toplevel{
		Path:        path,
		Label:       strings.TrimRight(text["nixos-version"], "\n"),
		Platform:    strings.TrimRight(text["system"], "\n"),
		UsersGroups: nixstore.Path(usersGroupsPath.FindString(text["activate"])),
	}, nil
}

// maxText is larger than any file of a system that is read as a whole.
const maxText = 64 << 20

// readFile returns the content of the file at a path of the store, links
// followed.
func readFile(store *tree.Inode, path string) ([]byte, error) {
	i, err := nixstore.Lookup(store, path)
	if err != nil {
		return nil, err
	}
	if !i.IsRegular() || i.Size() > maxText {
		return nil, fmt.Errorf("%q is not a file of at most %d bytes", path, maxText)
	}
	b := make([]byte, i.Size())
	if len(b) > 0 {
		if err := content.ReadFull(i.Content, b, 0); err != nil {
			return nil, fmt.Errorf("%q: %w", path, err)
		}
	}
	return b, nil
}

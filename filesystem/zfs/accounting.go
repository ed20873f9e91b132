package zfs

import (
	"fmt"
	"maps"
	"slices"

	"diskwright/filesystem/zfs/ondisk"
)

// Every file system accounts how many bytes, dnodes included, belong to each user
// and group; with the feature userobj_accounting how many objects as well, and with
// project_quota both by project, of which all that is written here belongs to the
// first. A file system of a pool with these features whose accounts are incomplete
// is read as a whole when it is mounted first, to complete them.

// Accounts have no numbers in the meta dnode; these are those that OpenZFS has for
// them (DMU_USERUSED_OBJECT, DMU_GROUPUSED_OBJECT, DMU_PROJECTUSED_OBJECT).
const (
	objectUsers    = 1<<64 - 1
	objectGroups   = 1<<64 - 2
	objectProjects = 1<<64 - 3

	defaultProject   = 0      // ZFS_DEFAULT_PROJID
	objectCountsName = "obj-" // before the number of the owner (DMU_OBJACCT_PREFIX)
)

// usage is what an owner has.
type usage struct{ bytes, objects uint64 }

// accounts are those of a file system, by number.
type accounts struct {
	objects, byProject      bool // have features
	users, groups, projects map[uint32]usage
}

// newAccounts returns empty accounts, of what the pool's features tell to count.
func (p *pool) newAccounts(fs *fileSystem) *accounts {
	a := &accounts{
		objects: p.features.has(featureUserObjAccounting), byProject: p.features.has(featureProjectQuota),
		users: make(map[uint32]usage), groups: make(map[uint32]usage), projects: make(map[uint32]usage),
	}
	if a.objects {
		p.use(featureUserObjAccounting, fs)
	}
	if a.byProject {
		p.use(featureProjectQuota, fs)
	}
	return a
}

// add counts an object.
func (a *accounts) add(user, group uint32, bytes int64) {
	count := func(accounts map[uint32]usage, owner uint32) {
		u := accounts[owner]
		accounts[owner] = usage{u.bytes + uint64(bytes), u.objects + 1}
	}
	count(a.users, user)
	count(a.groups, group)
	count(a.projects, defaultProject)
}

// writeAccounts makes the accounts part of the object set.
func (z *zpl) writeAccounts(set *ondisk.Objset) (err error) {
	a := z.accounts
	set.ObjectsCounted = a.objects
	if set.UserUsed, err = z.account(objectUsers, a.users); err != nil {
		return err
	}
	if set.GroupUsed, err = z.account(objectGroups, a.groups); err != nil || !a.byProject {
		return err
	}
	set.ProjectUsed, err = z.account(objectProjects, a.projects)
	return err
}

// account writes what each owner has.
func (z *zpl) account(object uint64, used map[uint32]usage) (*ondisk.DNode, error) {
	var entries []ondisk.ZAPEntry
	for _, owner := range slices.Sorted(maps.Keys(used)) {
		name := fmt.Sprintf("%x", owner)
		entries = append(entries, number(name, used[owner].bytes))
		if z.accounts.objects {
			entries = append(entries, number(objectCountsName+name, used[owner].objects))
		}
	}
	d := &ondisk.DNode{Type: ondisk.TypeUserGroupUsed}
	return d, z.zap(d, entries, z.salt(object))
}

package nixstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"

	"diskwright/content"
)

// FromDatabase reads the closure of roots from the database of a store, the
// file db.sqlite at path. It is opened read-only, writes nothing beside it, and
// may be in use by Nix.
func FromDatabase(ctx context.Context, path string, roots ...Path) (Closure, error) {
	c, err := fromDatabase(ctx, path, roots)
	if err != nil {
		return nil, fmt.Errorf("%q: %w", path, err)
	}
	return c, nil
}

func fromDatabase(ctx context.Context, path string, roots []Path) (Closure, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	// Nix leaves its database in a mode that SQLite reads only with the help
	// of two more files, which it would make, and not remove, or fail for
	// want of permission. They are not needed while nobody writes.
	const attempts = 3
	for range attempts {
		before, quiet, err := stateOf(path)
		if err != nil {
			return nil, err
		}
		if !quiet {
			break
		}
		c, err := readClosure(ctx, path, "immutable=1", roots)
		if after, still, stateErr := stateOf(path); stateErr == nil && still && after == before {
			return c, err
		}
		// Somebody began to write: what was read may be of two minds.
	}
	c, err := readClosure(ctx, path, "mode=ro", roots)
	if err != nil && notReadable(path) {
		err = fmt.Errorf("%w (its write-ahead log or journal is in use, and this user cannot take part: run as the store's owner, or give closureInfo)", err)
	}
	return c, err
}

// stateOf returns the identity of the database file, and whether it is all that
// there is: that neither a write-ahead log nor a rollback journal belongs to it.
func stateOf(path string) (id content.Identity, quiet bool, err error) {
	fi, err := os.Stat(path)
	if err != nil {
		return id, false, withoutPath(err)
	}
	quiet = true
	for _, suffix := range []string{"-wal", "-journal"} {
		if beside, err := os.Stat(path + suffix); err == nil && beside.Size() > 0 {
			quiet = false
		} else if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return id, false, withoutPath(err)
		}
	}
	return content.IdentityOf(fi), quiet, nil
}

// notReadable reports whether the files beside the database can be the reason
// of an error.
func notReadable(path string) bool {
	_, quiet, err := stateOf(path)
	return err == nil && !quiet
}

// readClosure reads the closure of roots in one transaction.
func readClosure(ctx context.Context, path, option string, roots []Path) (Closure, error) {
	name := url.URL{Scheme: "file", Path: path, RawQuery: option + "&_pragma=busy_timeout(10000)"}
	db, err := sql.Open("sqlite", name.String())
	if err != nil {
		return nil, err
	}
	defer db.Close()
	tx, err := db.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return nil, err
	}
	defer tx.Rollback()
	r := rows{ctx: ctx, tx: tx, places: make(map[int64]int)}
	return r.closure(roots)
}

// rows are the rows of the paths that have been reached so far.
type rows struct {
	ctx    context.Context
	tx     *sql.Tx
	places map[int64]int // of rows in the following slices, by their id
	ids    []int64
	infos  []PathInfo

	// limit is how many rows there may be, of a database that nobody vouches for;
	// 0 is any number.
	limit, read int
}

// count counts a row that was read.
func (r *rows) count() error {
	if r.read++; r.limit > 0 && r.read > r.limit {
		return errors.New("it has more rows than there is room for, and is damaged")
	}
	return nil
}

// closure reads the rows of roots, and of all that is reached from them.
func (r *rows) closure(roots []Path) (Closure, error) {
	const columns = "SELECT id, path, hash, narSize, deriver FROM ValidPaths "
	byPath, err := r.tx.PrepareContext(r.ctx, columns+"WHERE path = ?")
	if err != nil {
		return nil, fmt.Errorf("not the database of a store: %w", err)
	}
	defer byPath.Close()
	byID, err := r.tx.PrepareContext(r.ctx, columns+"WHERE id = ?")
	if err != nil {
		return nil, err
	}
	defer byID.Close()
	references, err := r.tx.PrepareContext(r.ctx, "SELECT reference FROM Refs WHERE referrer = ?")
	if err != nil {
		return nil, fmt.Errorf("not the database of a store: %w", err)
	}
	defer references.Close()

	var problems []error
	for _, root := range roots {
		err := r.add(byPath.QueryRowContext(r.ctx, string(root)))
		if errors.Is(err, sql.ErrNoRows) {
			err = fmt.Errorf("%q is not a valid path of the store", root)
		}
		problems = append(problems, err)
	}
	if err := joinProblems(problems); err != nil {
		return nil, err
	}
	refs := make([][]int64, 0, len(r.ids))
	for n := 0; n < len(r.ids); n++ { // which grows meanwhile
		list, err := r.references(references, r.ids[n])
		if err != nil {
			return nil, err
		}
		refs = append(refs, list)
		for _, id := range list {
			if _, known := r.places[id]; known {
				continue
			}
			err := r.add(byID.QueryRowContext(r.ctx, id))
			if errors.Is(err, sql.ErrNoRows) {
				err = fmt.Errorf("a reference of %q is not in the database, which is damaged", r.infos[n].Path)
			}
			if err != nil {
				return nil, err
			}
		}
	}
	for n, list := range refs {
		for _, id := range list {
			r.infos[n].References = append(r.infos[n].References, r.infos[r.places[id]].Path)
		}
	}
	return NewClosure(r.infos)
}

// add reads a row of ValidPaths, unless it is there already.
func (r *rows) add(row *sql.Row) error {
	var id int64
	var path, hash string
	var size sql.NullInt64
	var deriver sql.NullString
	if err := row.Scan(&id, &path, &hash, &size, &deriver); err != nil {
		return err
	}
	if _, known := r.places[id]; known {
		return nil
	}
	info := PathInfo{NarSize: size.Int64}
	var err error
	if info.Path, err = ParsePath(path); err != nil {
		return err
	}
	if info.NarHash, err = ParseHash(hash); err != nil {
		return fmt.Errorf("%q: %w", path, err)
	}
	if deriver.String != "" {
		if info.Deriver, err = ParsePath(deriver.String); err != nil {
			return fmt.Errorf("%q: deriver: %w", path, err)
		}
	}
	r.places[id] = len(r.infos)
	r.ids = append(r.ids, id)
	r.infos = append(r.infos, info)
	return nil
}

// references returns the ids of the references of the row with an id.
func (r *rows) references(statement *sql.Stmt, id int64) (list []int64, err error) {
	found, err := statement.QueryContext(r.ctx, id)
	if err != nil {
		return nil, err
	}
	defer found.Close()
	for found.Next() {
		var ref int64
		if err := found.Scan(&ref); err != nil {
			return nil, err
		}
		if err := r.count(); err != nil {
			return nil, err
		}
		list = append(list, ref)
	}
	return list, found.Err()
}

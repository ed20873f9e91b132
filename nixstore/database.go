package nixstore

import (
	"context"
	"database/sql"
	"encoding/binary"
	"errors"
	"fmt"

	"diskwright/tree"

	_ "modernc.org/sqlite" // the driver "sqlite"
)

// Fields of a database's header (https://sqlite.org/fileformat2.html#the_database_header).
const (
	pageSize = 4096

	headerSize          = 100
	headerFormats       = 18 // 2 bytes: for writing, for reading
	headerChangeCounter = 24
	headerPages         = 28
	headerValidFor      = 92 // the change counter that the number of pages is valid for
	headerLibrary       = 96 // SQLITE_VERSION_NUMBER of who wrote last

	// walFormat says that the journal is a write-ahead log, which is what Nix
	// uses: it need not change the database when it opens it first.
	walFormat = 2

	// writtenBy is the library version that every database says, so that an
	// update of ours does not change images: that of Debian 12.
	writtenBy = 3_040_001
)

// Database returns the db.sqlite of a store that consists of the closure: what
// nix-store --load-db writes into a new store, with one registration time (in
// seconds since 1970) for all paths. Nix 2.8 and later open it. The outputs of
// derivations (paths whose name ends in .drv) are read from the tree that [Tree]
// returned.
//
// The result is a function of the arguments only. In particular it does not tell
// the version of the SQLite library that made it.
func Database(ctx context.Context, c Closure, store *tree.Inode, registrationTime int64) ([]byte, error) {
	// In memory, and so without files, however it ends.
	db, err := sql.Open("sqlite", ":memory:")
	if err != nil {
		return nil, databaseError(err)
	}
	defer db.Close()
	conn, err := db.Conn(ctx)
	if err != nil {
		return nil, databaseError(err)
	}
	defer conn.Close()
	if err := createSchema(ctx, conn); err != nil {
		return nil, databaseError(err)
	}
	tx, err := conn.BeginTx(ctx, nil)
	if err != nil {
		return nil, databaseError(err)
	}
	defer tx.Rollback()
	if err := insertPaths(ctx, tx, c, store, registrationTime); err != nil {
		return nil, err
	}
	if err := insertReferences(ctx, tx, c); err != nil {
		return nil, databaseError(err)
	}
	if err := tx.Commit(); err != nil {
		return nil, databaseError(err)
	}
	file, err := serialize(conn)
	if err != nil {
		return nil, databaseError(err)
	}
	return file, nil
}

// databaseError says what an error of the library is about.
func databaseError(err error) error { return fmt.Errorf("writing the database of the store: %w", err) }

// createSchema makes the tables in an empty database.
func createSchema(ctx context.Context, conn *sql.Conn) error {
	statements := append([]string{
		fmt.Sprintf("PRAGMA page_size = %d", pageSize),
		"PRAGMA encoding = 'UTF-8'",
		"PRAGMA auto_vacuum = none",
		"PRAGMA journal_mode = off",
		"PRAGMA temp_store = memory",
		// Cells that move to another page leave zeros behind.
		"PRAGMA secure_delete = on",
	}, schema...)
	for _, s := range statements {
		if _, err := conn.ExecContext(ctx, s); err != nil {
			return err
		}
	}
	return nil
}

// insertPaths makes a row for each path. Its id is its place in the closure,
// from 1 on; ultimate, sigs and ca are null, as for paths that were copied from
// another store.
func insertPaths(ctx context.Context, tx *sql.Tx, c Closure, store *tree.Inode, registrationTime int64) error {
	path, err := tx.PrepareContext(ctx, "INSERT INTO ValidPaths (path, hash, registrationTime, deriver, narSize) VALUES (?, ?, ?, ?, ?)")
	if err != nil {
		return databaseError(err)
	}
	defer path.Close()
	output, err := tx.PrepareContext(ctx, "INSERT INTO DerivationOutputs (drv, id, path) VALUES (?, ?, ?)")
	if err != nil {
		return databaseError(err)
	}
	defer output.Close()
	for n := range c {
		info := &c[n]
		deriver := sql.NullString{String: string(info.Deriver), Valid: info.Deriver != ""}
		if _, err := path.ExecContext(ctx, string(info.Path), info.NarHash.hex(), registrationTime, deriver, info.NarSize); err != nil {
			return databaseError(err)
		}
		if !info.Path.isDerivation() {
			continue
		}
		outputs, err := outputsOf(store, info.Path)
		if err != nil {
			return err
		}
		for _, o := range outputs {
			if _, err := output.ExecContext(ctx, n+1, o.name, string(o.path)); err != nil {
				return databaseError(err)
			}
		}
	}
	return nil
}

// insertReferences makes a row for each reference, sorted.
func insertReferences(ctx context.Context, tx *sql.Tx, c Closure) error {
	insert, err := tx.PrepareContext(ctx, "INSERT INTO Refs (referrer, reference) VALUES (?, ?)")
	if err != nil {
		return err
	}
	defer insert.Close()
	index := c.index()
	for n := range c {
		for _, ref := range c[n].References {
			to, ok := index[ref]
			if !ok {
				return fmt.Errorf("%q is missing from the closure", ref)
			}
			if _, err := insert.ExecContext(ctx, n+1, to+1); err != nil {
				return err
			}
		}
	}
	return nil
}

// serialize returns the database as the bytes of its file.
func serialize(conn *sql.Conn) (file []byte, err error) {
	err = conn.Raw(func(driver any) error {
		s, ok := driver.(interface{ Serialize() ([]byte, error) })
		if !ok {
			return errors.New("the driver cannot serialize a database")
		}
		file, err = s.Serialize()
		return err
	})
	if err != nil {
		return nil, err
	}
	if len(file) < headerSize || len(file)%pageSize != 0 {
		return nil, fmt.Errorf("it has %d bytes, which are no pages of %d", len(file), pageSize)
	}
	normaliseHeader(file)
	clearGaps(file)
	return file, nil
}

// normaliseHeader sets what depends on how the file came about. SQLite ignores
// the number of pages unless the two counters agree.
func normaliseHeader(file []byte) {
	const changes = 1
	file[headerFormats], file[headerFormats+1] = walFormat, walFormat
	binary.BigEndian.PutUint32(file[headerChangeCounter:], changes)
	binary.BigEndian.PutUint32(file[headerPages:], uint32(len(file)/pageSize))
	binary.BigEndian.PutUint32(file[headerValidFor:], changes)
	binary.BigEndian.PutUint32(file[headerLibrary:], writtenBy)
}

// Fields of a page of a b-tree (https://sqlite.org/fileformat2.html#b_tree_pages).
const (
	pageCells   = 3 // number of cells
	pageContent = 5 // where the first of them begins
)

// pageHeaders are the sizes of page headers, by the first byte of the page. Those
// of interior pages have a pointer more.
var pageHeaders = map[byte]int{0x02: 12, 0x05: 12, 0x0a: 8, 0x0d: 8}

// clearGaps zeroes what lies between the cell pointers and the cells of each
// page: versions of the library leave different remains there.
func clearGaps(file []byte) {
	for at := 0; at < len(file); at += pageSize {
		page, header := file[at:at+pageSize], 0
		if at == 0 {
			header = headerSize
		}
		size, ok := pageHeaders[page[header]]
		if !ok {
			continue // the page of an overflow: its first byte is 0
		}
		from := header + size + 2*int(binary.BigEndian.Uint16(page[header+pageCells:]))
		to := int(binary.BigEndian.Uint16(page[header+pageContent:]))
		if from < to && to <= pageSize {
			clear(page[from:to])
		}
	}
}

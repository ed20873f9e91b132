package nixstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"

	"modernc.org/sqlite"
)

// ParseDatabase reads all valid paths of a store from the bytes of its
// db.sqlite: of a store in an image, say. A write-ahead log beside the file, if
// there is one, is not seen. What is refused is what Nix could not use either:
// paths that are none, and references to what is not there.
func ParseDatabase(ctx context.Context, file []byte) (Closure, error) {
	c, err := parseDatabase(ctx, file)
	if err != nil {
		return nil, fmt.Errorf("the database of the store: %w", err)
	}
	return c, nil
}

func parseDatabase(ctx context.Context, file []byte) (Closure, error) {
	if len(file) < headerSize || string(file[:len(databaseMagic)]) != databaseMagic {
		return nil, errors.New("not a database of SQLite")
	}
	// A database in memory cannot have a write-ahead log.
	file = slices.Clone(file)
	file[headerFormats], file[headerFormats+1] = rollbackFormat, rollbackFormat
	db, err := sql.Open("sqlite", ":memory:")
	if err != nil {
		return nil, err
	}
	defer db.Close()
	conn, err := db.Conn(ctx)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	if _, err := sqlite.Limit(conn, limitLength, maxValue); err != nil {
		return nil, err
	}
	if err := deserialize(conn, file); err != nil {
		return nil, err
	}
	if err := checkTables(ctx, conn); err != nil {
		return nil, err
	}
	tx, err := conn.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return nil, err
	}
	defer tx.Rollback()
	r := rows{ctx: ctx, tx: tx, places: make(map[int64]int), limit: len(file) / minRow}
	paths, err := r.validPaths()
	if err != nil {
		return nil, err
	}
	return r.closure(paths)
}

const (
	databaseMagic = "SQLite format 3\x00"
	// rollbackFormat says that the journal is what a transaction has changed.
	rollbackFormat = 1

	// minRow is less than any row takes, with its pointer, in bytes. Pages of a
	// hostile database may lead to each other, and to more rows than there are.
	minRow = 4

	limitLength = 0        // SQLITE_LIMIT_LENGTH
	maxValue    = 16 << 20 // bytes of any value; what Nix stores has some hundred
)

// checkTables makes sure that the tables are tables, and their columns columns. In
// a hostile database they could be views or expressions that never end.
func checkTables(ctx context.Context, conn *sql.Conn) error {
	const query = `
SELECT (SELECT count(*) FROM sqlite_schema WHERE name IN ('ValidPaths', 'Refs') AND type = 'table' AND rootpage > 0)
	- (SELECT count(*) FROM pragma_table_xinfo('ValidPaths') WHERE hidden <> 0)
	- (SELECT count(*) FROM pragma_table_xinfo('Refs') WHERE hidden <> 0)`
	if _, err := conn.ExecContext(ctx, "PRAGMA trusted_schema = off"); err != nil {
		return err
	}
	var tables int
	if err := conn.QueryRowContext(ctx, query).Scan(&tables); err != nil {
		return err
	}
	if tables != 2 {
		return errors.New("it has not the tables of a store")
	}
	return nil
}

// deserialize makes the bytes of a file the database of a connection.
func deserialize(conn *sql.Conn, file []byte) error {
	return conn.Raw(func(driver any) error {
		d, ok := driver.(interface{ Deserialize([]byte) error })
		if !ok {
			return errors.New("the driver cannot deserialize a database")
		}
		return d.Deserialize(file)
	})
}

// validPaths returns the paths of all rows.
func (r *rows) validPaths() (paths []Path, err error) {
	found, err := r.tx.QueryContext(r.ctx, "SELECT path FROM ValidPaths")
	if err != nil {
		return nil, fmt.Errorf("not that of a store: %w", err)
	}
	defer found.Close()
	for found.Next() {
		var text string
		if err := found.Scan(&text); err != nil {
			return nil, err
		}
		path, err := ParsePath(text)
		if err == nil {
			err = r.count()
		}
		if err != nil {
			return nil, err
		}
		paths = append(paths, path)
	}
	return paths, found.Err()
}

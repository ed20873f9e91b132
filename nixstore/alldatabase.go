package nixstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
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
	if err := deserialize(conn, file); err != nil {
		return nil, err
	}
	tx, err := conn.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return nil, err
	}
	defer tx.Rollback()
	paths, err := validPaths(ctx, tx)
	if err != nil {
		return nil, err
	}
	r := rows{ctx: ctx, tx: tx, places: make(map[int64]int)}
	return r.closure(paths)
}

const (
	databaseMagic = "SQLite format 3\x00"
	// rollbackFormat says that the journal is what a transaction has changed.
	rollbackFormat = 1
)

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
func validPaths(ctx context.Context, tx *sql.Tx) (paths []Path, err error) {
	found, err := tx.QueryContext(ctx, "SELECT path FROM ValidPaths")
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
		if err != nil {
			return nil, err
		}
		paths = append(paths, path)
	}
	return paths, found.Err()
}

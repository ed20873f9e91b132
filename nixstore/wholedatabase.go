package nixstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
)

// WholeDatabase reads all valid paths of the database of a store, the file
// db.sqlite at path, which nobody else uses. It has SQLite check the file first.
func WholeDatabase(ctx context.Context, path string) (Closure, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	roots, err := allPaths(ctx, path)
	if err != nil {
		return nil, fmt.Errorf("the database of the store: %w", err)
	}
	return readClosure(ctx, path, "immutable=1", roots)
}

// allPaths returns the valid paths of a database that SQLite finds intact.
func allPaths(ctx context.Context, path string) (list []Path, err error) {
	name := url.URL{Scheme: "file", Path: path, RawQuery: "immutable=1"}
	db, err := sql.Open("sqlite", name.String())
	if err != nil {
		return nil, err
	}
	defer db.Close()
	var verdict string
	if err := db.QueryRowContext(ctx, "PRAGMA integrity_check(1)").Scan(&verdict); err != nil {
		return nil, err
	}
	if verdict != "ok" {
		return nil, errors.New(verdict)
	}
	rows, err := db.QueryContext(ctx, "SELECT path FROM ValidPaths ORDER BY path")
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var p string
		if err := rows.Scan(&p); err != nil {
			return nil, err
		}
		list = append(list, Path(p))
	}
	return list, rows.Err()
}

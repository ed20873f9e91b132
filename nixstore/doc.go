// Package nixstore reads stores of the Nix package manager and makes what a
// store in an image consists of: store objects, and the database that says
// which of them are valid.
//
// # Vocabulary
//
// A store path is /nix/store/HASH-NAME; the file or directory there is a store
// object. A path has references: the other paths (and possibly itself) that
// its object mentions. The closure of some paths is they and all that can be
// reached from them by references. A path is registered with its references,
// its deriver (the .drv file that it was built from, if that is known), and
// size and SHA-256 of its NAR, Nix's archive format. A NAR knows of a file its
// content, whether it is executable, and no more; so no more may be visible of
// it in a store:
//
//	/nix/store/HASH-NAME        0555, 0:0, 1970-01-01T00:00:01Z, no xattrs
//	├── bin/                    0555
//	│   └── tool                0555   executable
//	├── share/                  0555
//	│   └── text                0444   not executable
//	└── lib -> /nix/store/…     0777
//
//	/nix/var/nix/db/db.sqlite   which paths are valid: [Database]
//
// # What comes from where
//
//	closureInfo/registration ──► FromClosureInfo ─┐
//	db.sqlite of the host ─────► FromDatabase ────┴─► Closure ─┬─► Tree ─► *tree.Inode ─┬─► Verify
//	/nix/store of the host ────────────────────────────────────┘     (store objects)    ├─► Optimise
//	                                                                                    └─► Database ─► db.sqlite
//
// Paths are always those that a running system sees (/nix/store/…). Where a
// store lies on the host, which may be below another root, is a [Store].
package nixstore

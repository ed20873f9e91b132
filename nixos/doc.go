// Package nixos puts a NixOS system into a tree: what nixos-install,
// nix-store --load-db and nix-env leave on a disk, as data.
//
//	nix/store/                        root:nixbld 1775
//	├── .links/                       empty: Nix fills it when it optimises
//	└── HASH-NAME                     the closure, see package nixstore
//	nix/var/nix/
//	├── db/{db.sqlite,schema,big-lock}
//	├── gc.lock
//	├── temproots/
//	├── gcroots/{auto/,per-user/,profiles -> /nix/var/nix/profiles}
//	└── profiles/
//	    ├── system -> system-1-link
//	    ├── system-1-link -> /nix/store/HASH-nixos-system-…
//	    └── per-user/root/            with a channel
//	        ├── channels -> channels-1-link
//	        └── channels-1-link -> /nix/store/HASH-…
//	root/.nix-defexpr/channels        with a channel: -> the profile of above
//	etc/{NIXOS,nixos/}
//	dev/ proc/ sys/ run/ tmp/ var/    mount points, and what every start needs
//
// # Vocabulary
//
// A toplevel is the store path that a NixOS configuration is built into: the
// system. What it refers to is its closure. A profile is a link to a store
// path that keeps it, and what it refers to, from being collected as garbage;
// the system profile's first generation is the toplevel.
//
// What nixos-install leaves behind of the machine that it ran on (links to
// directories of the build, 8 MiB of reserved space, locks of processes) is
// left out.
package nixos

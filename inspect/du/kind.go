package du

import (
	"strings"

	"diskwright/tree"
)

// Kind is what a file is for, told by its name, its place and its mode. Its
// content is not looked at.
type Kind string

// The kinds, in the order in which they are shown where sizes do not decide.
const (
	Programs      Kind = "programs"
	Libraries     Kind = "libraries"
	Kernel        Kind = "kernel and boot"
	Firmware      Kind = "firmware"
	Code          Kind = "source and scripts"
	Documentation Kind = "documentation"
	Locales       Kind = "languages"
	Fonts         Kind = "fonts"
	Media         Kind = "pictures and sound"
	Archives      Kind = "archives"
	Databases     Kind = "databases"
	Text          Kind = "text and settings"
	Other         Kind = "other files"
	Directories   Kind = "directories"
	Special       Kind = "links and devices"
)

// Kinds lists all of them.
var Kinds = []Kind{Programs, Libraries, Kernel, Firmware, Code, Documentation, Locales, Fonts, Media, Archives, Databases, Text, Other, Directories, Special}

// suffixes tell a kind by what is behind the last dot, in lower case.
var suffixes = suffixTable()

func suffixTable() map[string]Kind {
	table := make(map[string]Kind)
	for kind, list := range map[Kind]string{
		Libraries:     "a dll dylib gir la o pc rlib so typelib",
		Kernel:        "dtb dtbo efi ko",
		Code:          "awk bash c cc cpp cs css d el elc fish go h hh hpp hs java js lua m4 nix php pl pm po py pyc pyi pyo r rb rs scm sh sql tcl ts vala vim zsh",
		Documentation: "1 2 3 4 5 6 7 8 adoc htm html info md pdf ps rst tex texi",
		Locales:       "mo qm gmo",
		Fonts:         "afm bdf otf pcf pfa pfb psf psfu ttc ttf woff woff2",
		Media:         "avi bmp flac gif icns ico jpeg jpg mkv mp3 mp4 oga ogg ogv opus png svg svgz tif tiff wav webm webp xcf xpm",
		Archives:      "7z bz2 cpio deb egg gz jar lz4 lzma nar rpm squashfs tar tgz txz war whl xz zip zst",
		Databases:     "bin cache dat db gdbm ldb mdb pack rdb sqlite sqlite3",
		Text:          "cfg conf csv desktop drv gpg ini json key list log md5sums pem policy properties rules service socket target timer toml tsv txt xml xsd xsl yaml yml",
		Programs:      "com exe",
	} {
		for suffix := range strings.FieldsSeq(list) {
			table[suffix] = kind
		}
	}
	return table
}

// places tell the kind of all that is below a directory, unless its suffix says
// that it is a picture or the like.
var places = map[string]Kind{
	"boot/grub": Kernel, "kernels": Kernel, "lib/modules": Kernel, "EFI": Kernel, "lib/grub": Kernel, "lib/firmware": Firmware,
	"share/doc": Documentation, "share/man": Documentation, "share/info": Documentation, "share/gtk-doc": Documentation, "share/devhelp": Documentation, "share/help": Documentation,
	"share/locale": Locales, "share/i18n": Locales, "lib/locale": Locales, "lib/gconv": Locales, "share/zoneinfo": Locales, "share/hunspell": Locales,
	"share/fonts": Fonts, "share/consolefonts": Fonts, "share/icons": Media, "share/sounds": Media, "share/backgrounds": Media, "share/wallpapers": Media,
	"include": Code, "site-packages": Code, "dist-packages": Code, "share/perl5": Code, "lib/perl5": Code, "share/emacs": Code, "share/vim": Code,
	"etc": Text,
}

// placeOf returns the kind of what is below a directory that is called name and
// lies in one called parent, or "" if that tells nothing.
func placeOf(parent, name string) Kind {
	if kind, ok := places[parent+"/"+name]; ok {
		return kind
	}
	return places[name]
}

// compressed are the suffixes behind which another may tell more.
var compressed = map[string]bool{"gz": true, "xz": true, "zst": true, "bz2": true}

// kindOf tells what a file is for. Where is the kind of the place that it lies in,
// or ""; modes says that its permissions mean something.
func kindOf(name string, i *tree.Inode, where Kind, modes bool) Kind {
	switch {
	case i.IsDir():
		return Directories
	case !i.IsRegular():
		return Special
	}
	lower := strings.ToLower(name)
	base, suffix := cutSuffix(lower)
	if compressed[suffix] {
		if _, inner := cutSuffix(base); suffixes[inner] != "" && suffixes[inner] != Archives {
			suffix = inner
		}
	}
	kind := suffixes[suffix]
	switch {
	case kind == Libraries, kind == Kernel, strings.Contains(lower, ".so."):
		if kind == "" || kind == Documentation {
			kind = Libraries // libc.so.6
		}
		return kind
	case isKernel(lower):
		return Kernel
	case where == Kernel, where == Firmware, where == Documentation && kind != Media, where == Locales, where == Fonts:
		return where
	case kind == Documentation && len(suffix) == 1: // 1 to 8: a manual page would lie elsewhere
		kind = ""
	case strings.HasPrefix(lower, "locale-archive"):
		return Locales
	}
	executable := modes && i.Mode&0o111 != 0
	switch {
	case kind != "" && !(executable && kind == Databases):
		return kind
	case executable:
		return Programs
	case where != "":
		return where
	}
	return Other
}

// isKernel reports whether a file is a kernel or what a boot loader loads beside
// it.
func isKernel(name string) bool {
	for _, prefix := range []string{"vmlinuz", "vmlinux", "bzimage", "initrd", "initramfs", "system.map"} {
		if strings.HasPrefix(name, prefix) {
			return true
		}
	}
	return strings.HasSuffix(name, "-bzimage") || strings.HasSuffix(name, "-initrd") || strings.HasSuffix(name, "-image.efi")
}

func cutSuffix(name string) (base, suffix string) {
	if dot := strings.LastIndexByte(name, '.'); dot > 0 {
		return name[:dot], name[dot+1:]
	}
	return name, ""
}

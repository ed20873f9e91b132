package grub

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"diskwright/boot"
	"diskwright/boot/internal/boottest"
	"diskwright/content"
	"diskwright/partition"
	"diskwright/test/oracle"
	"diskwright/tree"
)

var epoch = tree.Time{Sec: 1700000000}

// plainTree is a root tree that is not NixOS.
func plainTree(t *testing.T) *tree.Inode {
	t.Helper()
	root := tree.NewDir(epoch)
	put(t, root, "/boot/vmlinuz", "kernel")
	put(t, root, "/srv/my initrd", "initrd")
	if err := tree.PutFile(root, "/vmlinuz", tree.NewSymlink("boot/vmlinuz", epoch), epoch); err != nil {
		t.Fatal(err)
	}
	return root
}

func put(t *testing.T, root *tree.Inode, name, text string) {
	t.Helper()
	if err := tree.PutFile(root, name, tree.NewFile(content.Bytes(text), epoch), epoch); err != nil {
		t.Fatal(err)
	}
}

// plainRequest asks for GRUB of the host's package on such a tree.
func plainRequest(t *testing.T, layout partition.Layout, change func(*boot.Settings)) *boot.Request {
	t.Helper()
	s := boot.NewSettings(boot.GRUBName)
	s.GRUB.Devices = []string{"/dev/sda"}
	s.GRUB.HostGrub = "/usr"
	s.Entries = []boot.Entry{{Title: "Linux", Kernel: "/vmlinuz", Initrd: "/srv/my initrd", Options: "root=LABEL=nixos quiet"}}
	if change != nil {
		change(s)
	}
	return &boot.Request{Settings: s, Files: boot.Files{Root: plainTree(t)}, Disk: boottest.Disk(t, layout), Epoch: epoch}
}

func needGRUB(t *testing.T) {
	t.Helper()
	oracle.Need(t, "grub-mkimage")
	oracle.NeedFile(t, "grub-pc-bin", "/usr/lib/grub/i386-pc/boot.img")
	oracle.NeedFile(t, "grub-efi-amd64-bin", "/usr/lib/grub/x86_64-efi/kernel.img")
}

// Each layout gets what its firmware starts, and nothing else.
func TestLayouts(t *testing.T) {
	needGRUB(t)
	efi := func(s *boot.Settings) { s.GRUB.EFISupport, s.GRUB.Devices = true, []string{"nodev"} }
	for _, c := range []struct {
		layout partition.Layout
		change func(*boot.Settings)
		embed  int64 // sector; 0 is none
		files  []string
		entry  string
	}{
		{partition.Legacy, nil, 1, []string{"/boot/grub/i386-pc/core.img", "/boot/grub/i386-pc/ext2.mod"}, ""},
		{partition.LegacyBoot, nil, 1, []string{"/boot/grub/i386-pc/core.img"}, ""},
		{partition.LegacyGPT, nil, 2048, []string{"/boot/grub/i386-pc/core.img"}, ""},
		{partition.EFI, func(s *boot.Settings) { efi(s); s.GRUB.EFIInstallAsRemovable = true }, 0,
			[]string{"/boot/EFI/BOOT/BOOTX64.EFI", "/boot/grub/x86_64-efi/core.efi", "/boot/grub/x86_64-efi/grub.efi"}, ""},
		{partition.EFI, efi, 0, []string{"/boot/EFI/NixOS-boot/grubx64.efi"}, ""},
		{partition.EFI, func(s *boot.Settings) { efi(s); s.EFI.CanTouchEFIVariables = true }, 0,
			[]string{"/boot/EFI/NixOS-boot/grubx64.efi"}, `\EFI\NixOS-boot\grubx64.efi`},
		{partition.Hybrid, func(s *boot.Settings) { s.GRUB.EFISupport, s.GRUB.EFIInstallAsRemovable = true, true }, 34,
			[]string{"/boot/EFI/BOOT/BOOTX64.EFI", "/boot/grub/i386-pc/core.img", "/boot/grub/x86_64-efi/core.efi"}, ""},
		// Without a word of what is to start it, what the layout is for.
		{partition.Hybrid, func(s *boot.Settings) { s.GRUB.Devices = nil }, 34,
			[]string{"/boot/EFI/BOOT/BOOTX64.EFI", "/boot/grub/i386-pc/core.img"}, ""},
		{partition.EFI, func(s *boot.Settings) { s.GRUB.Devices, s.EFI.CanTouchEFIVariables = nil, true }, 0,
			[]string{"/boot/EFI/NixOS-boot/grubx64.efi"}, `\EFI\NixOS-boot\grubx64.efi`},
		{partition.LegacyGPT, func(s *boot.Settings) { s.GRUB.Devices = nil }, 2048, []string{"/boot/grub/i386-pc/core.img"}, ""},
		{partition.None, func(s *boot.Settings) { s.GRUB.Devices = []string{"nodev"}; s.GRUB.FSIdentifier = boot.GRUBByLabel }, 0, nil, ""},
	} {
		t.Run(string(c.layout), func(t *testing.T) {
			in, err := Install(context.Background(), plainRequest(t, c.layout, c.change))
			if err != nil {
				t.Fatal(err)
			}
			if (len(in.Embed) > 0) != (c.embed > 0) || (in.BootCode != nil) != (c.embed > 0) ||
				c.embed > 0 && in.Embed[0].Offset != c.embed*sectorSize {
				t.Errorf("boot code of %d bytes, embedded %d, want in sector %d", len(in.BootCode), len(in.Embed), c.embed)
			}
			for _, name := range append(c.files, "/boot/grub/grub.cfg") {
				if !in.Has(name) {
					t.Errorf("%s is missing", name)
				}
			}
			if in.Has("/boot/grub/grubenv") != (len(c.files) > 0) {
				t.Error("grubenv belongs to what grub-install writes")
			}
			switch {
			case c.entry == "" && in.EFIEntry != nil:
				t.Errorf("boot entry %+v, want none", in.EFIEntry)
			case c.entry != "" && (in.EFIEntry == nil || in.EFIEntry.Path != c.entry || in.EFIEntry.Description != "NixOS-boot"):
				t.Errorf("boot entry %+v, want %s", in.EFIEntry, c.entry)
			}
			for _, f := range in.Files {
				if f.Inode.Mtime != epoch {
					t.Errorf("%s has the time %d, not the epoch", f.Path, f.Inode.Mtime.Sec)
				}
			}
		})
	}
}

// What cannot be is refused, by the name of the option.
func TestRefusals(t *testing.T) {
	for _, c := range []struct {
		name   string
		layout partition.Layout
		change func(*boot.Settings)
		want   []string
	}{
		{"two boot partitions", partition.EFIXBOOTLDR, nil, []string{"grub", "efixbootldr", "systemd-boot"}},
		{"a device on none", partition.None, nil, []string{"devices", "/dev/sda", "none", "nodev"}},
		{"a BIOS on efi", partition.EFI, nil, []string{"devices", "/dev/sda", "BIOS boot partition", "hybrid"}},
		{"UEFI on legacy", partition.Legacy, func(s *boot.Settings) { s.GRUB.EFISupport = true }, []string{"efiSysMountPoint", "legacy"}},
		{"another mount point", partition.Hybrid, func(s *boot.Settings) { s.GRUB.EFISupport, s.EFI.EFISysMountPoint = true, "/efi" },
			[]string{"efiSysMountPoint", "/efi", "/boot"}},
		{"removable with variables", partition.Hybrid, func(s *boot.Settings) {
			s.GRUB.EFISupport, s.GRUB.EFIInstallAsRemovable, s.EFI.CanTouchEFIVariables = true, true, true
		}, []string{"efiInstallAsRemovable", "canTouchEfiVariables"}},
		{"commands", partition.Legacy, func(s *boot.Settings) { s.GRUB.ExtraInstallCommands = "sbctl sign /boot/x" },
			[]string{"extraInstallCommands", "sbctl sign /boot/x"}},
		{"prepare", partition.Legacy, func(s *boot.Settings) { s.GRUB.ExtraPrepareConfig = "mount /boot" }, []string{"extraPrepareConfig", "mount /boot"}},
		{"no program", partition.Legacy, func(s *boot.Settings) { s.GRUB.Mkimage = "/nonexistent/grub-mkimage" },
			[]string{"mkimage", "/nonexistent/grub-mkimage"}},
		{"no package", partition.Legacy, func(s *boot.Settings) { s.GRUB.HostGrub = "" }, []string{"grub", "/usr/lib/grub/i386-pc", "hostGrub"}},
		{"no package of the host", partition.Legacy, func(s *boot.Settings) { s.GRUB.HostGrub = "/nonexistent" },
			[]string{"hostGrub", "/nonexistent"}},
		{"no devices on NixOS", partition.Legacy, func(s *boot.Settings) { s.GRUB.Devices = nil }, []string{"devices is empty"}},
		{"no entries", partition.Legacy, func(s *boot.Settings) { s.Entries = nil }, []string{"entries"}},
		{"no kernel", partition.Legacy, func(s *boot.Settings) { s.Entries[0].Kernel = "/nonexistent" }, []string{"entries[0]", "kernel", "/nonexistent"}},
		{"no font", partition.Legacy, func(s *boot.Settings) { s.GRUB.Font = new(string); *s.GRUB.Font = "/f.pf2" }, []string{"font", "/f.pf2"}},
		{"another file system's kernel", partition.LegacyBoot, func(s *boot.Settings) { s.GRUB.FSIdentifier = boot.GRUBProvided },
			[]string{"entries[0]", "fsIdentifier"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := plainRequest(t, c.layout, c.change)
			if strings.HasSuffix(c.name, "on NixOS") {
				r.System = &boot.System{}
			}
			_, err := Install(context.Background(), r)
			if err == nil {
				t.Fatal("no error")
			}
			for _, w := range c.want {
				if !strings.Contains(err.Error(), w) {
					t.Errorf("%q does not say %q", err, w)
				}
			}
		})
	}
}

// Where there is no grub-mkimage the error says how to get one.
func TestNoProgram(t *testing.T) {
	oracle.NeedFile(t, "grub-pc-bin", "/usr/lib/grub/i386-pc/boot.img")
	t.Setenv("PATH", t.TempDir())
	_, err := Install(context.Background(), plainRequest(t, partition.Legacy, nil))
	if err == nil || !strings.Contains(err.Error(), "grub-common") || !strings.Contains(err.Error(), "mkimage") {
		t.Errorf("error %v", err)
	}
}

// With the flag, the package's own program runs, and no other.
func TestRunClosure(t *testing.T) {
	needGRUB(t)
	oracle.NeedFile(t, "grub-common", "/usr/bin/grub-mkimage")
	t.Setenv("PATH", t.TempDir())
	in, err := Install(context.Background(), plainRequest(t, partition.Legacy, func(s *boot.Settings) { s.GRUB.RunClosure = true }))
	if err != nil || len(in.Embed) != 1 {
		t.Errorf("error %v", err)
	}
}

// A build that is stopped stops the program.
func TestCancelled(t *testing.T) {
	needGRUB(t)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := Install(ctx, plainRequest(t, partition.Legacy, nil)); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
}

// Linode's images have a menu that Linode's own GRUB reads.
func TestLinode(t *testing.T) {
	in, err := Install(context.Background(), plainRequest(t, partition.None, func(s *boot.Settings) {
		s.GRUB.Devices = []string{"nodev"}
		s.GRUB.FSIdentifier = boot.GRUBByLabel
		s.GRUB.ExtraInstallCommands = "/nix/store/00000000000000000000000000000000-coreutils-9.5/bin/ln -fs /boot/grub /boot/grub2\n"
	}))
	if err != nil {
		t.Fatal(err)
	}
	menu := findFile(t, in, "/boot/grub/grub.cfg")
	if text := string(mustRead(t, menu)); !strings.Contains(text, "search --set=drive1 --label nixos\n") {
		t.Errorf("the menu finds nothing by label:\n%s", text)
	}
	if link := findFile(t, in, "/boot/grub2"); link.Target() != "/boot/grub" {
		t.Errorf("/boot/grub2 leads to %q", link.Target())
	}
}

// Names that mean something to GRUB's shell reach it as they are.
func TestEntries(t *testing.T) {
	oracle.Need(t, "grub-script-check")
	in, err := Install(context.Background(), plainRequest(t, partition.LegacyBoot, func(s *boot.Settings) {
		s.GRUB.Devices = []string{"nodev"}
		s.Entries = append(s.Entries, boot.Entry{
			Title: `Débian "12" $x \ {` + "`", Kernel: "/boot/vmlinuz", Options: `a=$b "c d" e;f {g} 'h' *`})
	}))
	if err != nil {
		t.Fatal(err)
	}
	text := string(mustRead(t, findFile(t, in, "/boot/grub/grub.cfg")))
	for _, want := range []string{
		`menuentry "Linux" --class nixos --unrestricted {` + "\n" +
			"search --set=drive1 --fs-uuid 1000-0001\n" +
			"search --set=drive2 --fs-uuid f222513b-ded1-49fa-b591-20ce86a2fe7f\n" +
			"  linux ($drive1)/vmlinuz root=LABEL=nixos quiet\n" +
			`  initrd ($drive2)"/srv/my initrd"` + "\n}\n",
		`menuentry "Débian \"12\" \$x \\ {` + "`" + `" --class`,
		`  linux ($drive1)/vmlinuz "a=\$b" "c d" "e;f" "{g}" "'h'" "*"` + "\n}\n",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("the menu lacks %s\n%s", want, text)
		}
	}
	checkScript(t, text)
}

// Every menu of the goldens, as it is here, passes GRUB's parser.
func TestGoldensParse(t *testing.T) {
	oracle.Need(t, "grub-script-check")
	for _, dir := range boottest.Cases(t, "testdata/goldens") {
		in, err := configure(t, boottest.Load(t, dir))
		if err != nil {
			continue // TestGoldens knows
		}
		checkScript(t, string(mustRead(t, findFile(t, in, "/boot/grub/grub.cfg"))))
	}
}

// What an older GRUB left goes, and what an administrator put there stays.
func TestReplacesOlder(t *testing.T) {
	needGRUB(t)
	r := plainRequest(t, partition.Legacy, nil)
	for _, name := range []string{"i386-pc/old.mod", "i386-pc/mine.txt", "custom.cfg"} {
		put(t, r.Files.Root, "/boot/grub/"+name, "x")
	}
	put(t, r.Files.Root, "/boot/kernels/old", "x")
	put(t, r.Files.Root, "/boot/kernels/.hidden", "x")
	put(t, r.Files.Root, "/boot/grub/grubenv", "saved")
	in, err := Install(context.Background(), r)
	if err != nil {
		t.Fatal(err)
	}
	if err := in.Apply(r.Files.Root, nil, epoch); err != nil {
		t.Fatal(err)
	}
	for name, there := range map[string]bool{
		"/boot/grub/i386-pc/old.mod": false, "/boot/kernels/old": false,
		"/boot/grub/i386-pc/mine.txt": true, "/boot/grub/custom.cfg": true, "/boot/kernels/.hidden": true, "/boot/grub/i386-pc/ext2.mod": true,
	} {
		if r.Files.Exists(name) != there {
			t.Errorf("%s: there is %v, want %v", name, !there, there)
		}
	}
	if env, _ := r.Files.Read("/boot/grub/grubenv"); string(env) != "saved" {
		t.Error("grubenv was replaced")
	}
}

// The image's own package and the host's give the same.
func TestPackageOfImage(t *testing.T) {
	needGRUB(t)
	r := plainRequest(t, partition.LegacyGPT, nil)
	host, err := Install(context.Background(), r)
	if err != nil {
		t.Fatal(err)
	}
	r = plainRequest(t, partition.LegacyGPT, func(s *boot.Settings) { s.GRUB.HostGrub = "" })
	for _, dir := range []string{"lib/grub/i386-pc", "share/grub"} {
		i, err := tree.FromDir(context.Background(), filepath.Join("/usr", dir), tree.DirOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if err := tree.PutFile(r.Files.Root, "/usr/"+dir, i, epoch); err != nil {
			t.Fatal(err)
		}
	}
	image, err := Install(context.Background(), r)
	if err != nil {
		t.Fatal(err)
	}
	if string(host.Embed[0].Data) != string(image.Embed[0].Data) {
		t.Error("core images differ")
	}
}

func checkScript(t *testing.T, menu string) {
	t.Helper()
	name := filepath.Join(t.TempDir(), "grub.cfg")
	if err := os.WriteFile(name, []byte(menu), 0o600); err != nil {
		t.Fatal(err)
	}
	if output, status := oracle.Exit(t, "grub-script-check", name); status != 0 {
		t.Errorf("grub-script-check: %s\n%s", output, menu)
	}
}

func findFile(t *testing.T, in *boot.Installation, name string) *tree.Inode {
	t.Helper()
	n := slices.IndexFunc(in.Files, func(f boot.File) bool { return f.Path == name })
	if n < 0 {
		t.Fatalf("%s is missing", name)
	}
	return in.Files[n].Inode
}

func mustRead(t *testing.T, i *tree.Inode) []byte {
	t.Helper()
	b, err := boot.ReadAll(i)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

//go:build linux

package nix

import (
	"encoding/json"
	"strings"
	"testing"

	"diskwright/boot"
	"diskwright/test/oracle"
)

// settings evaluates the boot loader of an image into what the program reads.
func settings(t testing.TB, loader, args string) *boot.Settings {
	t.Helper()
	var spec struct {
		InstallBootLoader bool
		BootLoader        json.RawMessage
	}
	specify(t, standinWith(loader)+"make { installBootLoader = true; "+args+" }", &spec)
	if !spec.InstallBootLoader {
		t.Fatal("installBootLoader is false")
	}
	s, err := boot.ParseSettings(spec.BootLoader, "/")
	if err != nil {
		t.Fatalf("{ %s } evaluates to what the program refuses: %v\n%s", loader, err, spec.BootLoader)
	}
	return s
}

// What NixOS's options have, and more that no image needs: a release may have
// options that nobody here knows.
const (
	systemdBoot = `systemd-boot = {
		enable = true; editor = false; consoleMode = "max"; configurationLimit = null; graceful = false;
		rebootForBitlocker = false; xbootldrMountPoint = null; sortKey = "nixos"; installDeviceTree = false;
		extraEntries = { "other.conf" = "title Other\nefi /other.efi\n"; }; extraFiles = { }; extraInstallCommands = "";
		memtest86.enable = false; windows = { }; new = throw "looked at";
	};`
	grub = `grub = {
		enable = true; device = "/dev/vda"; devices = [ "/dev/vda" ]; version = throw "removed";
		mirroredBoots = [ { path = "/boot"; devices = [ "/dev/vda" ]; efiSysMountPoint = "/boot"; efiBootloaderId = null; _module = throw "looked at"; } ];
		users = { alice = { name = "alice"; password = "secret"; passwordFile = null; hashedPassword = null; hashedPasswordFile = null; }; };
		configurationLimit = 100; copyKernels = false; default = "0"; entryOptions = "--class nixos"; subEntryOptions = "--class nixos";
		extraConfig = "serial\n"; extraEntries = ""; extraEntriesBeforeNixOS = false; extraFiles = { }; extraGrubInstallArgs = [ ];
		extraInstallCommands = ""; extraPerEntryConfig = ""; extraPrepareConfig = ""; forceInstall = false; fsIdentifier = "uuid";
		gfxmodeBios = "1024x768"; gfxmodeEfi = "auto"; gfxpayloadBios = "text"; gfxpayloadEfi = "keep"; storePath = "/nix/store";
		splashImage = null; splashMode = "stretch"; backgroundColor = null; theme = null; font = "${pkgs.grub2}/share/grub/unicode.pf2"; fontSize = null;
		timeoutStyle = "menu"; useOSProber = false; zfsSupport = false; enableCryptodisk = false; forcei686 = false;
		efiSupport = false; efiInstallAsRemovable = false;
	};`
	extlinux = `generic-extlinux-compatible = {
		enable = true; configurationLimit = 7; mirroredBoots = [ { path = "/boot"; } ]; useGenerationDeviceTree = true; populateCmd = throw "looked at";
	};`
)

func TestSystemdBoot(t *testing.T) {
	s := settings(t, systemdBoot, `partitionTableType = "efi";`)
	b := s.SystemdBoot
	if b == nil || b.Editor || b.ConsoleMode != "max" || b.ConfigurationLimit != nil || b.DistroName != "NixOS" ||
		b.ExtraEntries["other.conf"] != "title Other\nefi /other.efi\n" || !strings.HasSuffix(b.Systemd, "-systemd-257") {
		t.Errorf("settings: %+v", b)
	}
	if s.Timeout == nil || *s.Timeout != 5 || s.EFI.CanTouchEFIVariables || s.EFI.EFISysMountPoint != "/boot" {
		t.Errorf("timeout %v, efi %+v", s.Timeout, s.EFI)
	}
	// Releases differ in how their builders name entries.
	for options, builder := range map[string]string{
		`bootCounting = { enable = false; tries = 3; };`: boot.Builder2605,
		``: boot.Builder2505,
	} {
		loader := strings.Replace(systemdBoot, "enable = true;", "enable = true; "+options, 1)
		if got := settings(t, loader, "").SystemdBoot.Builder; got != builder {
			t.Errorf("with { %s } the builder is %q, not %q", options, got, builder)
		}
	}
	older := strings.Replace(systemdBoot, "installDeviceTree = false;", "", 1)
	if got := settings(t, older, "").SystemdBoot.Builder; got != boot.Builder2405 {
		t.Errorf("without installDeviceTree the builder is %q", got)
	}
}

func TestTimeout(t *testing.T) {
	if s := settings(t, systemdBoot+"timeout = null;", ""); s.Timeout != nil {
		t.Errorf("timeout is %d, not null", *s.Timeout)
	}
}

func TestGRUB(t *testing.T) {
	g := settings(t, grub, "").GRUB
	if g == nil || g.FSIdentifier != boot.GRUBByUUID || g.ExtraConfig != "serial\n" || len(g.Boots()) != 1 ||
		g.Users["alice"].Password == nil || g.Font == nil || g.SplashImage != nil || g.OlderSubmenus {
		t.Errorf("settings: %+v", g)
	}
	if !strings.HasSuffix(g.Grub, "-grub-2.12") || g.Target != "i386-pc" || g.GrubEFI != "" ||
		g.FullName != "grub" || g.FullVersion != "2.12" || !strings.HasSuffix(g.Mkimage, "-grub-2.12/bin/grub-mkimage") {
		t.Errorf("packages: %+v", g)
	}

	both := strings.Replace(grub, "efiSupport = false", "efiSupport = true", 1)
	g = settings(t, both, `partitionTableType = "hybrid";`).GRUB
	if !strings.HasSuffix(g.Grub, "-grub-2.12") || !strings.HasSuffix(g.GrubEFI, "-grub-efi-2.12") || g.TargetEFI != "x86_64-efi" {
		t.Errorf("packages of both: %+v", g)
	}

	nodev := strings.ReplaceAll(grub, `[ "/dev/vda" ]`, `[ "nodev" ]`)
	g = settings(t, nodev, `partitionTableType = "none";`).GRUB
	if g.Grub != "" || g.GrubEFI != "" || g.Mkimage != "" {
		t.Errorf("a menu alone has packages: %+v", g)
	}

	// Other fonts are converted.
	vector := strings.Replace(grub, `${pkgs.grub2}/share/grub/unicode.pf2`, `/usr/share/fonts/a.ttf`, 1)
	g = settings(t, vector, "").GRUB
	if g.Font == nil || !strings.HasSuffix(*g.Font, "-grub-font-converted.pf2") {
		t.Errorf("font: %v", g.Font)
	}
}

func TestExtlinux(t *testing.T) {
	e := settings(t, extlinux, "").Extlinux
	if e == nil || e.ConfigurationLimit != 7 || e.MirroredBoots[0].Path != "/boot" || e.DeviceTree != "" {
		t.Errorf("settings: %+v", e)
	}
}

func TestInitScript(t *testing.T) {
	if s := settings(t, "initScript.enable = true;", ""); s.InitScript == nil {
		t.Errorf("settings: %+v", s)
	}
}

// What cannot be installed without a running system fails at evaluation.
func TestNoBootLoader(t *testing.T) {
	for loader, message := range map[string]string{
		`external = { enable = true; installHook = "/hook"; };`: "boot.loader.external: its installHook is a program that needs a running system",
		``:                 "enables no boot loader that Diskwright knows (boot.loader.generic-extlinux-compatible, boot.loader.grub,",
		systemdBoot + grub: "enables several boot loaders: boot.loader.grub, boot.loader.systemd-boot.",
	} {
		shared(t).fails(t, standinWith(loader)+"make { installBootLoader = true; }", message)
	}
	// Nobody asks for the loader of an image that gets none.
	shared(t).must(t, "nix-instantiate", "-E", standinWith(`external.enable = true;`)+"make { }")
}

func TestLimine(t *testing.T) {
	l := settings(t, `limine = {
		enable = true; package = pkgs.limine; enableEditor = false; maxGenerations = null; extraConfig = ""; extraEntries = "";
		additionalFiles = { }; validateChecksums = true; panicOnChecksumMismatch = false; efiSupport = true;
		efiInstallAsRemovable = true; biosSupport = true; biosDevice = "/dev/vda"; partitionIndex = null; enrollConfig = false; force = false;
		secureBoot = { enable = false; createAndEnrollKeys = false; sbctl = throw "looked at"; };
		style = {
			wallpapers = [ ]; wallpaperStyle = "streched"; backdrop = "2F302F";
			interface = { resolution = null; branding = "Standin"; brandingColor = null; helpHidden = false; };
			graphicalTerminal = {
				font = { scale = null; spacing = 2; }; palette = null; brightPalette = null; foreground = null; background = null;
				brightForeground = null; brightBackground = null; margin = null; marginGradient = null;
			};
		};
	};`, `partitionTableType = "hybrid";`).Limine
	if l == nil || !l.EFISupport || !l.BIOS() || l.BIOSDevice != "/dev/vda" || l.MaxGenerations != nil || l.Style.Interface.Branding == nil ||
		*l.Style.Interface.Branding != "Standin" || !strings.HasSuffix(l.Package, "-limine-8") {
		t.Errorf("settings: %+v", l)
	}
}

// needLoaders skips the test where the host lacks the boot loaders that the
// stand-in's packages are made of.
func needLoaders(t testing.TB) {
	t.Helper()
	oracle.Need(t, "grub-mkimage")
	for file, pkg := range map[string]string{
		"/usr/lib/grub/i386-pc/boot.img":                "grub-pc-bin",
		"/usr/lib/grub/x86_64-efi/linux.mod":            "grub-efi-amd64-bin",
		"/usr/lib/systemd/boot/efi/systemd-bootx64.efi": "systemd-boot-efi",
		"/usr/share/OVMF/OVMF_VARS_4M.fd":               "ovmf",
	} {
		oracle.NeedFile(t, pkg, file)
	}
}

// Images with boot loaders, made twice. What is in them is the matter of other
// tests: here, that what evaluation says arrives.
func TestBuildWithBootLoader(t *testing.T) {
	needLoaders(t)
	s := shared(t)
	hybrid := strings.NewReplacer("efiSupport = false", "efiSupport = true", "efiInstallAsRemovable = false", "efiInstallAsRemovable = true").Replace(grub)
	tests := map[string]struct {
		loader, args, file string
		inspect            string // what inspect says of the file
		menu               string // on the ESP, if there is one
		further            []string
	}{
		"systemd-boot": {systemdBoot + `efi = { canTouchEfiVariables = true; efiSysMountPoint = "/boot"; };`,
			`partitionTableType = "efi"; touchEFIVars = true;`, "efi-vars.fd", "Linux Boot Manager", "loader/entries/nixos-generation-1.conf", []string{"efi-vars.fd"}},
		"grub":     {grub, ``, "nixos.img", "boot code  grub", "", nil},
		"hybrid":   {hybrid, `partitionTableType = "hybrid";`, "nixos.img", "boot code  grub", "grub/grub.cfg", nil},
		"extlinux": {extlinux, ``, "nixos.img", "ext4 in partition 1", "", nil},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			expression := standinWith(test.loader) + `make { installBootLoader = true; additionalSpace = "1M"; bootSize = "64M"; copyChannel = false; ` + test.args + " }"
			out := s.build(t, expression)
			checkOutput(t, s, out, "raw", "nixos.img", test.further...)
			s.build(t, expression, "--check")
			if got := string(oracle.Output(t, program, "inspect", s.host(out+"/"+test.file))); !strings.Contains(got, test.inspect) {
				t.Errorf("inspect %s lacks %q:\n%s", test.file, test.inspect, got)
			}
			if test.menu != "" {
				menu := oracle.Run(t, "mtype", "-i", s.host(out+"/nixos.img")+"@@8M", "::"+test.menu)
				if !strings.Contains(menu, "init=/nix/store/") {
					t.Errorf("%s starts no system:\n%s", test.menu, menu)
				}
			}
		})
	}
}

// What a system for tests has as its activation script, as systemd-tmpfiles and as
// switch-to-configuration: it says how it was called, and notes that on the disk.
package main

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"
)

func main() {
	variables, _ := os.ReadDir("/sys/firmware/efi/efivars")
	clock := time.Now().UTC().Format(time.DateOnly)
	line := fmt.Sprintln(runtime.GOARCH, filepath.Base(os.Args[0]), strings.Join(os.Args[1:], " "),
		"enter="+os.Getenv("IN_NIXOS_ENTER"), "install="+os.Getenv("NIXOS_INSTALL_BOOTLOADER"), "variables="+fmt.Sprint(len(variables) > 0), clock)
	fmt.Print(line)
	f, err := os.OpenFile("/boot/calls", os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err == nil {
		_, err = f.WriteString(line)
	}
	if err == nil {
		err = f.Close()
	}
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
}

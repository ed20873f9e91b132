{ name ? "of nixpkgs", ... }: throw "this needs a virtual machine"

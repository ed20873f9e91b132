{ config, lib, pkgs, select }: { }

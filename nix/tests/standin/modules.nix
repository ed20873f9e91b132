# As much of a module system as the tests of nix/module.nix need: imports,
# options with defaults, definitions with priorities and conditions. Values of
# one path merge if they are sets; otherwise those of the strongest priority
# must agree. Types are not checked.
rec {
  mkOption = attrs: attrs // { _type = "option"; };
  literalExpression = text: {
    _type = "literalExpression";
    inherit text;
  };
  mkOverride = priority: value: {
    _type = "override";
    inherit priority value;
  };
  mkOptionDefault = mkOverride 1500;
  mkDefault = mkOverride 1000;
  mkForce = mkOverride 50;
  mkIf = condition: value: {
    _type = "if";
    inherit condition value;
  };

  # Types are names here.
  types = {
    package = "package";
    str = "string";
    bool = "boolean";
    raw = "raw";
    deferredModule = "deferredModule";
    enum = values: "enum";
    attrsOf = type: "attrsOf ${type}";
    lazyAttrsOf = type: "lazyAttrsOf ${type}";
    nullOr = type: "nullOr ${type}";
  };

  evalModules =
    {
      modules,
      specialArgs ? { },
    }:
    let
      args = specialArgs // {
        inherit config options;
        extendModules =
          { modules }:
          evalModules {
            modules = previous ++ modules;
            inherit specialArgs;
          };
      };
      previous = modules;
      load =
        module:
        if builtins.isPath module || builtins.isString module then
          load (import module)
        else if builtins.isFunction module then
          load (module args)
        else if module ? config || module ? options then
          module
        else
          {
            imports = module.imports or [ ];
            config = removeAttrs module [ "imports" ];
          };
      collect = builtins.concatMap (
        module:
        let
          loaded = load module;
        in
        collect (loaded.imports or [ ]) ++ [ loaded ]
      );
      loaded = collect modules;

      options = merge (map (m: plain (m.options or { })) loaded);
      config = merge ([ (defaults options) ] ++ map (m: strip 100 (m.config or { })) loaded);
    in
    {
      inherit config options;
    };

  # A definition is { priority, value } at the leaves of a set.
  plain = strip 100;
  leaf = priority: value: {
    _type = "leaf";
    inherit priority value;
  };
  isPlainSet = value: builtins.isAttrs value && !(value ? _type) && !(value ? outPath);
  strip =
    priority: value:
    if value._type or "" == "override" then
      strip value.priority value.value
    else if value._type or "" == "if" then
      if value.condition then strip priority value.value else leaf 9999 null
    else if isPlainSet value then
      builtins.mapAttrs (_: strip priority) value
    else
      leaf priority value;
  defaults =
    options:
    builtins.mapAttrs (
      _: option:
      if option._type or "" != "option" then
        defaults option
      else if option ? default then
        strip 1500 option.default
      else
        leaf 9999 null
    ) options;

  merge =
    sets:
    let
      isLeaf = set: set._type or "" == "leaf";
      leaves = builtins.filter isLeaf sets;
      branches = builtins.filter (set: !isLeaf set) sets;
      names = builtins.attrNames (builtins.foldl' (all: set: all // set) { } branches);
      strongest = builtins.foldl' (a: b: if b.priority < a.priority then b else a) (builtins.head leaves) (
        builtins.tail leaves
      );
    in
    if branches != [ ] && builtins.all (l: l.priority >= 1500) leaves then
      builtins.listToAttrs (
        map (name: {
          inherit name;
          value = merge (map (set: set.${name}) (builtins.filter (set: set ? ${name}) branches));
        }) names
      )
    else
      strongest.value;
}

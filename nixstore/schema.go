package nixstore

// schema is what Nix 2.8 to 2.34 create a database with
// (src/libstore/schema.sql, without the experimental ca-derivations). SQLite
// stores the text of each statement as it is, so that the comments are part of
// the database. Later versions of Nix make from it what they want when they
// open it first.
var schema = []string{
	`CREATE TABLE ValidPaths (
    id               integer primary key autoincrement not null,
    path             text unique not null,
    hash             text not null,
    registrationTime integer not null,
    deriver          text,
    narSize          integer,
    ultimate         integer, -- null implies "false"
    sigs             text, -- space-separated
    ca               text -- if not null, an assertion that the path is content-addressed; see ValidPathInfo
)`,
	`CREATE TABLE Refs (
    referrer  integer not null,
    reference integer not null,
    primary key (referrer, reference),
    foreign key (referrer) references ValidPaths(id) on delete cascade,
    foreign key (reference) references ValidPaths(id) on delete restrict
)`,
	`CREATE INDEX IndexReferrer on Refs(referrer)`,
	`CREATE INDEX IndexReference on Refs(reference)`,
	// Paths can refer to themselves, which "on delete restrict" forbids to
	// delete.
	`CREATE TRIGGER DeleteSelfRefs before delete on ValidPaths
  begin
    delete from Refs where referrer = old.id and reference = old.id;
  end`,
	`CREATE TABLE DerivationOutputs (
    drv  integer not null,
    id   text not null, -- symbolic output id, usually "out"
    path text not null,
    primary key (drv, id),
    foreign key (drv) references ValidPaths(id) on delete cascade
)`,
	`CREATE INDEX IndexDerivationOutputs on DerivationOutputs(path)`,
}

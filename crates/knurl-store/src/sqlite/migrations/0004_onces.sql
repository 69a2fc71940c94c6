-- Creates that are to happen once (`Idempotency-Key`). `id` is a hash of the client's key and of who the client is, `fingerprint` one of
-- the request; `fates` are the ids and codes of the links made, as JSON. Rows are swept when they are old.
create table onces (
  id blob not null primary key,
  fingerprint blob not null,
  at integer not null,
  fates text not null
) strict;

create index onces_by_time on onces (at);

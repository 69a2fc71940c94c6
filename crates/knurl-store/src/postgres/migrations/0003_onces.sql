-- Creates that are to happen once (`Idempotency-Key`). `id` is a hash of the client's key and of who the client is, `fingerprint` one of
-- the request; `fates` are the ids and codes of the links made, as JSON. Rows are swept when they are old. Whoever is at a create holds
-- the advisory lock that the first eight bytes of its `id` name.
create table onces (
  id bytea primary key,
  fingerprint bytea not null,
  at bigint not null,
  fates text not null
);

create index onces_by_time on onces (at);

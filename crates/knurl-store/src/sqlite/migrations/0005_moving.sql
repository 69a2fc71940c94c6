-- A database that moves to another place (`knurl move`). `role`: 'out' where this one is left, 'in' where this one is filled; `move` is the
-- move's own name, `other` the place at the other end (without its password). States of 'out': copying, settling (clicks wait in their
-- spools), fenced (nothing is written any more), moved; of 'in': copying, live.
create table moving (
  role text primary key,
  move text not null,
  other text not null,
  state text not null
) strict, without rowid;

-- Rows that were changed while they are copied: the part (moving/part.rs), and what leads to the row in it. Written by triggers, which are
-- there as long as a move goes out of this database. What is noted again gets a higher `seq`.
create table moving_notes (
  seq integer primary key,
  part integer not null,
  a integer not null,
  b integer not null,
  unique (part, a, b)
) strict;

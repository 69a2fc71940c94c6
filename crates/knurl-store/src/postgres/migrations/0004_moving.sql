-- A database that moves to another place (`knurl move`). `role`: 'out' where this one is left, 'in' where this one is filled; `move` is the
-- move's own name, `other` the place at the other end (without its password). States of 'out': copying, settling (clicks wait in their
-- spools), fenced (nothing is written any more), moved; of 'in': copying, live. Advisory lock: (1802400364, 9) a move is at work.
create table moving (
  role text collate "C" primary key,
  move text not null,
  other text not null,
  state text not null
);

-- Rows that were changed while they are copied: the part (moving/part.rs), and what leads to the row in it. Written by triggers, which are
-- there as long as a move goes out of this database. What is noted again gets another `n`.
create table moving_notes (
  part bigint not null,
  a bigint not null,
  b bigint not null,
  n bigint not null default 0,
  primary key (part, a, b)
);

-- Arguments: the part, and the two columns (or numbers) that lead to a row.
create function knurl_moving_note() returns trigger language plpgsql as $$
declare
  changed text := format('select %s as a, %s as b from ', tg_argv[1], tg_argv[2]);
begin
  if tg_op = 'INSERT' then
    changed := changed || 'came';
  elsif tg_op = 'DELETE' then
    changed := changed || 'went';
  else
    changed := changed || 'came union ' || changed || 'went';
  end if;
  -- In their order: whoever takes locks in this order meets no deadlock.
  execute format(
    'insert into moving_notes as was (part, a, b) select distinct %s::bigint, a::bigint, b::bigint from (%s) as changed order by 1, 2, 3 '
    'on conflict (part, a, b) do update set n = was.n + 1',
    tg_argv[0],
    changed
  );
  return null;
end
$$;

-- Every row went at once: the whole part is to be compared again. Argument: the part.
create function knurl_moving_note_all() returns trigger language plpgsql as $$
begin
  insert into moving_notes as was (part, a, b)
  values (tg_argv[0]::bigint, -9223372036854775808, -9223372036854775808)
  on conflict (part, a, b) do update
  set n = was.n + 1;
  return null;
end
$$;

-- The fence. Whoever moves rows in says so for the time of a transaction.
create function knurl_moving_refuse() returns trigger language plpgsql as $$
begin
  if coalesce(current_setting('knurl.moving', true), '') <> 'in' then
    raise exception 'the database is being moved: it takes no changes' using errcode = 'KN001';
  end if;
  return null;
end
$$;

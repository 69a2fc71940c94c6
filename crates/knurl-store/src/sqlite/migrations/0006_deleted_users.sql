-- Ids that rows of an import name, although nobody has them, are not free: whoever was given one would own what those rows say. Imports keep
-- to that; here it is made true of what they brought before.
insert into sqlite_sequence (name, seq)
select name, 0
from (select 'users' as name union all select 'links')
where name not in (select name from sqlite_sequence);

update sqlite_sequence
set seq = max(
  seq,
  coalesce((select max(owner) from links), 0),
  coalesce((select max(user_id) from events where user_id is not null), 0)
)
where name = 'users';

update sqlite_sequence
set seq = max(seq, coalesce((select max(link_id) from events), 0))
where name = 'links';

-- Users that a Knurl has deleted, each noted before it goes: an import that brings one again leaves it deleted. Nothing personal is kept.
create table deleted_users (
  id integer primary key,
  created_at integer not null
) strict;

-- Somebody else has emptied the table (an operator, a test suite between its cases): what comes next is another world, whose ids may begin
-- at 1 again.
create trigger users_emptied after delete on users
when not exists (select 1 from users) and not exists (select 1 from deleted_users where id = old.id)
begin
  delete from deleted_users;
end;

-- What somebody has acknowledged (`knurl audit --accept`) as removed by hand: the audit's two sums hold without it.
create table audit_acceptances (
  id integer primary key autoincrement,
  at integer not null,
  reason text not null,
  events integer not null,
  roll_ups integer not null
) strict;

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

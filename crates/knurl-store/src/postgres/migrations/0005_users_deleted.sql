-- Ids that rows of an import name, although nobody has them, are not free: whoever was given one would own what those rows say. Imports keep
-- to that; here it is made true of what they brought before. The locks: a sequence can be set back.
lock table links, users in share row exclusive mode;

select setval('users_id_seq', named.id)
from users_id_seq,
  lateral (
    select greatest(
      (select max(owner) from links),
      (select max(user_id) from events where user_id is not null),
      (select max(user_id) from clicks where user_id is not null)
    ) as id
  ) as named
where last_value - (not is_called)::integer < named.id;

select setval('links_id_seq', named.id)
from links_id_seq,
  lateral (select greatest((select max(link_id) from events), (select max(link_id) from clicks)) as id) as named
where last_value - (not is_called)::integer < named.id;

-- $1 before, $2 most rows. Several nodes sweep at a time: none waits for another.
delete from onces
where id in (
  select id
  from onces
  where at < $1
  order by at
  limit $2
  for update skip locked
)

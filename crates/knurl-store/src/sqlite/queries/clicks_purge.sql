-- ?1 before, ?2 limit
delete from events
where id in (
  select id
  from events
  where source is not null and at < ?1
  order by at
  limit ?2
)
returning source

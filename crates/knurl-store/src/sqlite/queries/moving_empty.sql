-- Whether nobody has used this database
select not exists (select 1 from users)
  and not exists (select 1 from links)
  and not exists (select 1 from events)
  and not exists (select 1 from keys)
  and not exists (select 1 from cursors)

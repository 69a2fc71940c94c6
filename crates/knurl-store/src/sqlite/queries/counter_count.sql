-- ?1 name. Null where no rows stand behind the counter.
select case ?1
  when 'users' then (select count(*) from users)
  when 'links' then (select count(*) from links where deleted_at is null)
  when 'events' then (select count(*) from events)
end

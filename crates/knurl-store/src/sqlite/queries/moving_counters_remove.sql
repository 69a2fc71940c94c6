-- ?1 name
update counters
set value = 0
where name = ?1

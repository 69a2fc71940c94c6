-- ?1 name, ?2 difference
update counters
set value = value + ?2
where name = ?1

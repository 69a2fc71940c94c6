-- ?1 role
delete from moving
where role = ?1

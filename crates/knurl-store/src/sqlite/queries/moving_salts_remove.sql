-- ?1 day
delete from visitor_salts
where day = ?1

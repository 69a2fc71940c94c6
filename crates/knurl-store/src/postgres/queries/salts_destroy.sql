-- $1 first day that keeps its salt
delete from visitor_salts
where day < $1

-- Arrays: $1 id
delete from onces as was
using unnest($1::bytea[]) as gone (id)
where was.id = gone.id

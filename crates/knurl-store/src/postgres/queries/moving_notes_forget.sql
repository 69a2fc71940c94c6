-- Arrays: $1 part, $2 a, $3 b, $4 n. One that was noted again has another n, and stays
delete from moving_notes as was
using unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[]) as done (part, a, b, n)
where was.part = done.part
  and was.a = done.a
  and was.b = done.b
  and was.n = done.n

-- Find where in a list of pending jobs, the newest at its left end, those begin that have waited since a time or
-- longer.
--
-- KEYS  1 prefix
-- ARGV  1 the list, such as pending:high  2 time (ms)
-- Returns  the index of the first of them; the list's length when there is none

return first_since(P .. ARGV[1], tonumber(ARGV[2]))

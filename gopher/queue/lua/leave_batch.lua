-- Take jobs out of a batch that were announced, but are not stored.
--
-- KEYS  1 prefix
-- ARGV  1 id of the batch  then ids of the jobs
-- Returns  how many were taken out

allow_when_full()
local left = 0
for i = 2, #ARGV do
  left = left + (count_job(ARGV[1], ARGV[i], UNSTORED, 0, nil) and 1 or 0)
end
write_batches()
return left

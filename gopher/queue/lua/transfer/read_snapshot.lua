-- Read the records of some jobs for an export: a page of a snapshot's place, from the head of a list and from the highest
-- score of a sorted set on, or jobs that are named.
--
-- KEYS  1 prefix
-- ARGV  1 id of the snapshot  2 for how many ms it is kept from now on  3 bytes after which the page ends  4 place, '' for
--       named jobs  5 how many of its ids come before the page  6 how many to read  or from 5 on: ids
-- Returns  nothing when the snapshot has expired, else how many ids were read, now, and of each job that has a record: id,
--       ms until that expires (-1: never), ms until its unique key does (-2: it has none), the ids of the jobs that it
--       waits for, the id of one that has failed it, name of its group of dead letters, and its fields. Of a corrupt
--       record nothing follows the id

if not keep_snapshot(ARGV[1], ARGV[2]) then
  return {}
end
local most, place = tonumber(ARGV[3]), ARGV[4]

local function ids_of_page()
  local key, from, length = copy_of(ARGV[1], place), tonumber(ARGV[5]), tonumber(ARGV[6])
  if is_sorted(place) then
    return redis.call('ZREVRANGE', key, from, from + length - 1)
  end
  local found, ids = redis.call('LRANGE', key, -from - length, -from - 1), {}
  for at = #found, 1, -1 do
    ids[#ids + 1] = found[at]
  end
  return ids
end

-- Return the jobs that a job still waits for, joined by commas, and one that has failed it.
local function parents_of(record)
  local waits_for, elsewhere, missing, failed = {}, {}, {}, ''
  for _, parent in ipairs(record.waiting_for and split(record.parents) or {}) do
    local state = read_record(parent, 'state')[1]
    if state and not ENDED[state] then
      waits_for[#waits_for + 1] = parent
    elseif state and not SUCCEEDED[state] and record.on_parent_failure ~= 'run' then
      failed = parent
    elseif not state then
      -- A job of another queue, or a batch. It has jobs that wait for it until it has told that it has ended.
      local has_told = redis.call('EXISTS', P .. KEY.remote_children .. parent) == 0
      table.insert(has_told and missing or elsewhere, parent)
    end
  end
  -- It waits for more than are here.
  for _, parents in ipairs(failed == '' and { elsewhere, missing } or {}) do
    for _, parent in ipairs(parents) do
      if #waits_for < tonumber(record.waiting_for) then
        waits_for[#waits_for + 1] = parent
      end
    end
  end
  return table.concat(waits_for, ','), failed
end

local bytes = 0

local function read(id)
  local key = P .. KEY.job .. id
  local flat = redis.pcall('HGETALL', key)
  if flat.err then
    return { id }
  end
  local record = {}
  for at = 1, #flat, 2 do
    record[flat[at]] = flat[at + 1]
    bytes = bytes + #flat[at] + #flat[at + 1]
  end
  local unique = record.unique and P .. KEY.unique .. record.unique
  local unique_for = unique and redis.call('GET', unique) == id and redis.call('PTTL', unique) or -2
  local waits_for, failed = parents_of(record)
  local group = record.group and redis.call('HGET', P .. KEY.group_names, record.group) or ''
  return { id, redis.call('PTTL', key), unique_for, waits_for, failed, group, flat }
end

local ids = place ~= '' and ids_of_page() or { unpack(ARGV, 5) }
local reply, done = { 0, now }, 0
for _, id in ipairs(ids) do
  if bytes >= most then
    break
  end
  done = done + 1
  if redis.call('EXISTS', P .. KEY.job .. id) == 1 then
    reply[#reply + 1] = read(id)
  end
end
reply[1] = done
return reply

-- New jobs that wait for others: what a call notes of them is written with a few commands a parent, however many wait for it.

local parents_seen = {} -- id of a job that others wait for -> what its record says, and the ids of the new ones

local function parent_of(id)
  local parent = parents_seen[id]
  if not parent then
    local fields = redis.call('HMGET', P .. KEY.job .. id, 'state', 'children', 'readers')
    parent = { state = fields[1], children = fields[2] or nil, readers = fields[3], new = {} }
    parents_seen[id] = parent
  end
  return parent
end

-- A few writes a parent, however many wait for it.
local function write_those_seen() -- rare
  for id, parent in pairs(parents_seen) do
    if #parent.new > 0 then
      if ENDED[parent.state] then
        note_readers(id, parent)
      else
        add_children(id, parent.children, parent.new)
      end
    end
  end
end

local function write_parents()
  if next(parents_seen) then
    write_those_seen()
  end
end

-- Note a new job with those it waits for. Returns how many they are, and one that has failed it already.
local function follow_parents(id, parents)
  local waiting_for, failed_parent = 0, nil
  for each in string.gmatch(parents, '[^,]+') do
    local elsewhere, queue = string.match(each, '^(.*)@(.*)$')
    local parent = not queue and parent_of(each)
    if queue then
      follow_remote(elsewhere, queue, id)
      waiting_for = waiting_for + 1
    elseif not ENDED[parent.state] then
      parent.new[#parent.new + 1] = id
      waiting_for = waiting_for + 1
    elseif SUCCEEDED[parent.state] then
      -- Its result is still to be read.
      parent.new[#parent.new + 1] = id
    else
      failed_parent = failed_parent or each
    end
  end
  return waiting_for, failed_parent
end

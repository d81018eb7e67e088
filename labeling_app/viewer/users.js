export async function showUsers() {}

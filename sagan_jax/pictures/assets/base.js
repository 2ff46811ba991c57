'use strict';
// What Python embedded in this page.
function pageData() {
  return JSON.parse(document.getElementById('data').textContent);
}
